"""Cycles in a graph of addresses.

Job: find each strongly connected part once (Tarjan, without recursion: pipelines may be thousands of jobs long).
Input: edges. Output: cycles. Must not: know what an address is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


def cycles(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    """One cycle of every strongly connected part, as a path whose end leads back to its start."""
    order = {address: number for number, address in enumerate(edges)}
    for part in _parts(edges):
        if len(part) > 1 or part[0] in edges[part[0]]:
            yield _cycle(min(part, key=order.__getitem__), set(part), edges)


def _cycle(start: str, members: set[str], edges: Mapping[str, Sequence[str]]) -> list[str]:
    path = {start: 0}
    address = start
    while True:
        address = next(other for other in edges[address] if other in members)
        if address in path:
            return list(path)[path[address] :]
        path[address] = len(path)


def _parts(edges: Mapping[str, Sequence[str]]) -> Iterator[list[str]]:
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in edges:
        if root in index:
            continue
        work = [(root, iter(edges.get(root, ())))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            address, following = work[-1]
            for other in following:
                if other not in edges:
                    continue
                if other not in index:
                    index[other] = low[other] = len(index)
                    stack.append(other)
                    on_stack.add(other)
                    work.append((other, iter(edges.get(other, ()))))
                    break
                if other in on_stack:
                    low[address] = min(low[address], index[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[address])
                if low[address] == index[address]:
                    part: list[str] = []
                    while not part or part[-1] != address:
                        part.append(stack.pop())
                        on_stack.discard(part[-1])
                    yield part
