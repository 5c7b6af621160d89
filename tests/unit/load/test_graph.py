from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reconciler.load import graph

NODES = [str(number) for number in range(7)]
EDGES = st.fixed_dictionaries(
    {node: st.lists(st.sampled_from([*NODES, "gone"]), max_size=3) for node in NODES}
)


@given(EDGES)
def test_what_is_found_is_a_cycle_and_a_graph_without_cycles_has_an_order(
    edges: dict[str, list[str]],
) -> None:
    found = list(graph.cycles(edges))
    for cycle in found:
        assert all(
            after in edges[before] for before, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True)
        )
    done: set[str] = {"gone"}
    while more := {node for node in NODES if node not in done and done.issuperset(edges[node])}:
        done |= more
    assert bool(found) == (not done.issuperset(NODES))


def test_a_pipeline_of_many_thousand_steps_is_no_trouble() -> None:
    chain = {str(step): [str(step + 1)] for step in range(50_000)}
    assert not list(graph.cycles(chain))
    assert len(next(graph.cycles({**chain, "50000": ["0"]}))) == 50_001
