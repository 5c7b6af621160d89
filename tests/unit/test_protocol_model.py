"""The protocol of jobs, every interleaving of it: two reconcilers, the shims, ECS and S3, two attempts, any crash.

An explicit-state search: a State is plain data, `steps` gives every state that one move of one actor leads to, and the
invariants of docs/jobs.md hold in all that can be reached. A crash is an actor that forgets where it was; it then
begins again from what S3 and ECS have, as the next apply does. Time is abstract: `old` says that a claim is older than
its token surely lives, and that a task can be forgotten.

A defect is planted in each of the protocol's guards in turn, and the search must find it: a model that cannot fail
proves nothing.
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

ATTEMPTS = (1, 2)
RECONCILERS = (0, 1)

# where a reconciler is: between two of its calls
IDLE, CLAIMED, SENT, TOMBED = "idle", "claimed", "sent", "tombed"


@dataclass(frozen=True)
class Task:
    """A container of an attempt. `at`: born, running (has the fence), done (the command ended), gone."""

    attempt: int
    at: str = "born"
    known: bool = True  # to ECS
    effect: bool = False  # the user's command was begun


@dataclass(frozen=True)
class State:
    """S3: claim, fence and result of each attempt, by whom; ECS: tasks and tokens; reconcilers: (where, attempt)."""

    claim: tuple[int | None, ...] = (None, None)
    fence: tuple[str | None, ...] = (None, None)
    result: tuple[str | None, ...] = (None, None)
    taskjson: tuple[bool, ...] = (False, False)
    old: tuple[bool, ...] = (False, False)
    token: tuple[bool, ...] = (False, False)  # ECS remembers that it was used
    tasks: tuple[Task, ...] = ()
    actors: tuple[tuple[str, int], ...] = ((IDLE, 0), (IDLE, 0))
    crashes: int = 0
    succeeded: tuple[bool, ...] = (False, False)  # a shim wrote success: must never be lost


@dataclass(frozen=True)
class Rules:
    """The guards of the protocol, each of which can be left out."""

    result_once: bool = True
    fence_once: bool = True
    fence_before_command: bool = True
    tombstone_before_lost: bool = True
    claim_needs_result: bool = True
    token: bool = True  # ECS honours it while it lives
    crashes: int = 2


RULES = Rules()


def put(values: tuple, number: int, value: object) -> tuple:  # type: ignore[type-arg]
    """The tuple with the value of one attempt changed."""
    return (*values[: number - 1], value, *values[number:])


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Every move of every actor, by a name for people."""
    for who in RECONCILERS:
        yield from reconciler(state, who, rules)
    for place, task in enumerate(state.tasks):
        yield from shim(state, place, task, rules)
    yield from world(state)


def reconciler(state: State, who: int, rules: Rules) -> Iterator[tuple[str, State]]:
    where, n = state.actors[who]

    def go(to: str, number: int = 0, **changes: object) -> State:
        # the two are alike: which of them is where does not matter
        actors = tuple(sorted((*state.actors[:who], (to, number), *state.actors[who + 1 :])))
        return replace(state, actors=actors, **changes)  # type: ignore[arg-type]

    name = "AB"[who]
    if where != IDLE and state.crashes < rules.crashes:
        yield f"{name} crashes", go(IDLE, crashes=state.crashes + 1)
    if where == IDLE:
        yield from look(state, name, go, rules)
    elif where == CLAIMED:
        yield from send(state, n, name, go, rules)
    elif where == SENT:
        yield f"{name} writes task.json {n}", go(IDLE, taskjson=put(state.taskjson, n, True))
    elif where == TOMBED:
        # close as lost; the conditional write leaves a result that is there alone
        if state.result[n - 1] is None or not rules.result_once:
            yield f"{name} closes {n} as lost", go(IDLE, result=put(state.result, n, "lost"))
        else:
            yield f"{name} finds the result of {n}", go(IDLE)


def look(state: State, name: str, go, rules: Rules) -> Iterator[tuple[str, State]]:  # type: ignore[no-untyped-def]
    """An apply begins its turn: it reads the ledger, and does what the last attempt calls for."""
    n = next((number for number in reversed(ATTEMPTS) if state.claim[number - 1] is not None), 0)
    if n == 0:
        yield f"{name} claims 1", go(CLAIMED, 1, claim=put(state.claim, 1, 0))
        return
    ended = state.result[n - 1]
    if n < len(ATTEMPTS) and (ended == "lost" or (ended is None and not rules.claim_needs_result)):
        yield f"{name} claims {n + 1}", go(CLAIMED, n + 1, claim=put(state.claim, n + 1, 0))
    if ended is not None:
        return
    fence, known = state.fence[n - 1], [task for task in state.tasks if task.attempt == n and task.known]
    if fence == "tombstone":
        yield f"{name} finds the tombstone of {n}", go(TOMBED, n)
    elif not known and fence is None and not state.taskjson[n - 1]:
        young = not state.old[n - 1]
        if young:
            yield f"{name} sends {n} again", go(CLAIMED, n)
        else:
            yield from tomb(state, n, name, go, rules)
    elif known and not state.taskjson[n - 1]:
        yield f"{name} adopts the task of {n}", go(IDLE, taskjson=put(state.taskjson, n, True))
    elif not known or all(task.at == "gone" for task in known):
        # stopped or MISSING for long: without a fence the tombstone first, with one `lost` after the last word
        if fence is None:
            yield from tomb(state, n, name, go, rules)
        else:
            yield f"{name} gives {n} up", go(TOMBED, n)


def tomb(state: State, n: int, name: str, go, rules: Rules) -> Iterator[tuple[str, State]]:  # type: ignore[no-untyped-def]
    if not rules.tombstone_before_lost:
        yield f"{name} loses {n} without a tombstone", go(TOMBED, n)
    elif state.fence[n - 1] is None:
        yield f"{name} writes the tombstone of {n}", go(TOMBED, n, fence=put(state.fence, n, "tombstone"))


def send(state: State, n: int, name: str, go, rules: Rules) -> Iterator[tuple[str, State]]:  # type: ignore[no-untyped-def]
    """RunTask; the answer may be lost, which is the crash that follows it."""
    if rules.token and state.token[n - 1]:
        yield f"{name} is told the task of {n} again", go(SENT, n)
        return
    if len(state.tasks) < 3:
        started = {"tasks": (*state.tasks, Task(n)), "token": put(state.token, n, True)}
        yield f"{name} starts a task of {n}", go(SENT, n, **started)


def shim(state: State, place: int, task: Task, rules: Rules) -> Iterator[tuple[str, State]]:
    n = task.attempt

    def become(**changes: object) -> tuple[Task, ...]:
        changed = replace(task, **changes)  # type: ignore[arg-type]
        return (*state.tasks[:place], changed, *state.tasks[place + 1 :])

    name = f"task {place}"
    if task.at == "born":
        free = state.fence[n - 1] is None or not rules.fence_once
        if free:
            fenced = put(state.fence, n, f"shim {place}")
            yield f"{name} takes the fence of {n}", replace(state, fence=fenced, tasks=become(at="running"))
        else:
            yield f"{name} leaves, fenced", replace(state, tasks=become(at="gone"))
        if not rules.fence_before_command:
            yield f"{name} runs without a fence", replace(state, tasks=become(at="running", effect=True))
    elif task.at == "running" and not task.effect:
        yield f"{name} begins the command", replace(state, tasks=become(effect=True))
    elif task.at == "running":
        if state.result[n - 1] is None or not rules.result_once:
            written = put(state.result, n, "succeeded")
            done = put(state.succeeded, n, True)
            yield f"{name} succeeds", replace(state, result=written, succeeded=done, tasks=become(at="gone"))
        else:
            yield f"{name} is refused its result", replace(state, tasks=become(at="gone"))
    if task.at in ("born", "running"):
        yield f"{name} is killed", replace(state, tasks=become(at="gone"))


def world(state: State) -> Iterator[tuple[str, State]]:
    """Time: claims grow old; ECS loses sight of tasks, those that live too; what is over takes its token with it."""
    for n in ATTEMPTS:
        if state.claim[n - 1] is not None and not state.old[n - 1]:
            yield f"{n} grows old", replace(state, old=put(state.old, n, True))
        over = all(task.at == "gone" and not task.known for task in state.tasks if task.attempt == n)
        if state.token[n - 1] and state.old[n - 1] and over:
            yield f"the token of {n} dies", replace(state, token=put(state.token, n, False))
    for place, task in enumerate(state.tasks):
        if task.known and state.old[task.attempt - 1]:
            forgotten = replace(task, known=False)
            tasks = (*state.tasks[:place], forgotten, *state.tasks[place + 1 :])
            yield f"ECS forgets task {place}", replace(state, tasks=tasks)


def wrong(state: State) -> str:
    """The invariant that a state breaks; empty where it keeps all."""
    for n in ATTEMPTS:
        if sum(task.effect for task in state.tasks if task.attempt == n) > 1:
            return f"two commands began for attempt {n}"
        if state.succeeded[n - 1] and state.result[n - 1] != "succeeded":
            return f"the success of attempt {n} was lost"
        closed = state.fence[n - 1] == "tombstone"
        if closed and any(task.effect for task in state.tasks if task.attempt == n):
            return f"attempt {n} ran behind its tombstone"
    if state.claim[1] is not None and state.result[0] is None:
        return "attempt 2 was claimed before attempt 1 had its result"
    if state.claim[1] is not None and state.succeeded[0]:
        return "attempt 2 was claimed although attempt 1 had succeeded"
    return ""


def changed(before: State, after: State) -> str:
    """What was written once and is another now; empty where nothing is."""
    for name in ("fence", "result"):
        for n in ATTEMPTS:
            was = getattr(before, name)[n - 1]
            if was is not None and getattr(after, name)[n - 1] != was:
                return f"{name} {n} was written twice"
    return ""


@functools.cache
def search(rules: Rules) -> tuple[frozenset[State], tuple[str, ...], frozenset[State]]:
    """All states, the shortest way to one that is wrong (none: all are right), those where nobody can move any more."""
    came: dict[State, tuple[State, str] | None] = {State(): None}
    stuck: set[State] = set()
    queue = deque(came)
    while queue:
        state = queue.popleft()
        moved = False
        for move, after in steps(state, rules):
            moved = True
            if after in came and not changed(state, after):
                continue
            if problem := changed(state, after) or wrong(after):
                return frozenset(came), (*_way(came, state), move, problem), frozenset(stuck)
            came[after] = (state, move)
            queue.append(after)
        if not moved:
            stuck.add(state)
    return frozenset(came), (), frozenset(stuck)


def _way(came: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    way = []
    while before := came[state]:
        state, move = before
        way.append(move)
    return way[::-1]


def test_no_interleaving_and_no_crash_breaks_an_invariant() -> None:
    states, way, stuck = search(RULES)
    assert way == ()
    assert len(states) > 10_000
    # wherever all comes to rest the job is done, or has used up its two attempts
    assert all("succeeded" in state.result or state.result == ("lost", "lost") for state in stuck)


def test_an_attempt_that_was_given_up_before_it_began_never_begins() -> None:
    assert not any(_could_begin(state) for state in search(RULES)[0])
    careless = replace(RULES, tombstone_before_lost=False, crashes=0)
    assert any(_could_begin(state) for state in search(careless)[0])


def _could_begin(state: State) -> bool:
    """Whether a task of the first attempt, which is lost, could still take its fence."""
    waits = any(task.attempt == 1 and task.at == "born" for task in state.tasks)
    return state.result[0] == "lost" and state.fence[0] is None and waits


def test_a_service_that_honours_no_token_starts_two_tasks_and_the_fence_lets_one_of_them_run() -> None:
    states, way, _ = search(replace(RULES, token=False, crashes=0))
    assert way == ()
    assert any(sum(task.attempt == 1 for task in state.tasks) > 1 for state in states)


@pytest.mark.parametrize(
    ("left_out", "what"),
    [
        ("result_once", "was written twice"),
        ("fence_once", "was written twice"),
        ("fence_before_command", "behind its tombstone|two commands began"),
        ("claim_needs_result", "before attempt 1 had its result"),
    ],
)
def test_a_guard_that_is_left_out_is_missed(left_out: str, what: str) -> None:
    way = search(replace(RULES, token=False, crashes=1, **{left_out: False}))[1]
    assert way, f"{left_out} is not needed?"
    assert any(part in way[-1] for part in what.split("|")), way
