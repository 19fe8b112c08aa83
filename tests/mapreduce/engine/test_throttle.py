"""However tasks behave, what they take on average is their share; and they are stopped shortly."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce.engine.throttle import LONGEST_STOP_S, LOOK_S, PERIOD_S, Throttle

SHARES = st.floats(0.05, 1.0)


@settings(max_examples=20)
@given(SHARES, st.sampled_from([1, 2, 8]), st.lists(st.floats(0, 1), min_size=50, max_size=50))
def test_tasks_get_their_share_and_no_more(share: float, cpus: int, greeds: list[float]) -> None:
    """`greeds`: what part of all processors they take while they run, from look to look."""
    throttle = Throttle(share, cpus)
    now = used_s = 0.0
    for greed in greeds:
        passed_s = throttle.pause_s
        taken_s = 0.0 if throttle.stopped else greed * cpus * passed_s
        now, used_s = now + passed_s, used_s + taken_s
        throttle.spend(taken_s, passed_s)
        in_advance_s = cpus * max(LOOK_S, PERIOD_S)  # before the first look, and paid back
        assert used_s <= share * cpus * now + in_advance_s + 1e-6
        assert not throttle.evaded


@settings(max_examples=20)
@given(SHARES)
def test_who_wants_all_gets_the_whole_share(share: float) -> None:
    throttle = Throttle(share, cpus=2)
    now = used_s = 0.0
    while now < 60:
        passed_s = throttle.pause_s
        taken_s = 0.0 if throttle.stopped else 2 * passed_s
        now, used_s = now + passed_s, used_s + taken_s
        throttle.spend(taken_s, passed_s)
    assert used_s == pytest.approx(share * 2 * now, rel=0.05)


@settings(max_examples=20)
@given(SHARES, st.floats(0, 10))
def test_nobody_is_stopped_for_long(share: float, taken_s: float) -> None:
    throttle = Throttle(share, cpus=4)
    throttle.spend(taken_s, passed_s=0.1)
    stopped_s = 0.0
    while throttle.stopped:
        passed_s = throttle.pause_s
        throttle.spend(0.0, passed_s)
        stopped_s += passed_s
    assert stopped_s <= LONGEST_STOP_S + 0.02


def test_who_runs_on_though_stopped_is_seen() -> None:
    throttle = Throttle(share=0.1, cpus=2)
    for _ in range(60):
        throttle.spend(used_s=0.2, passed_s=0.1)
    assert throttle.evaded
    assert throttle.owed_s > 4
