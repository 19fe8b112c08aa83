"""The node in a virtual world: 2,000 seeds break no promise; and what a person is shown of one."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache

import pytest

from dynamo.protocol.messages import Envelope
from dynamo.protocol.node import Node, Step, Ticker
from dynamo.simulation.__main__ import main
from dynamo.simulation.network import Note
from dynamo.simulation.plan import FAULTS, Plan
from dynamo.simulation.run import Run, simulate
from tests.simulation.test_broken_nodes import IgnoresContexts
from tests.simulation.worlds import hard, report, single

SEEDS = 2000
CHUNK = 50


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run = simulate(seed)
        assert not run.violations, report(run)


@pytest.mark.parametrize("world", [hard, single])
def test_no_hard_world_breaks_one_either(world: Callable[[int], Plan]) -> None:
    for seed in range(1, 26):
        run = simulate(world(seed))
        assert not run.violations, report(run)


def test_faults_really_happen() -> None:
    """The seeds would be worth little if nothing went wrong in them."""
    missing = {"failure", "siblings", "delivered twice", "lost", "cut off", "nobody there"}
    missing |= {"stands still", "goes on", "is in time again", "has its clock right"}
    missing |= {"crashes", "crashes in a commit", "crashes behind a commit"}
    for seed in range(1, 41):
        missing -= set(what_happened(simulate(seed)))
        if not missing:
            return
    pytest.fail(f"in no seed there was: {', '.join(sorted(missing))}")


def what_happened(run: Run) -> Iterator[str]:
    operations = run.history.operations
    if not all(operation.succeeded for operation in operations):
        yield "failure"
    if any(len(op.siblings.values) > 2 for op in operations if op.siblings):
        yield "siblings"
    if any(count > 1 for count in run.history.deliveries.values()):
        yield "delivered twice"
    for event in run.trace:
        yield event.text if isinstance(event, Note) else event.fate


# A seed repeats itself ---------------------------------------------------------------------------


def test_a_seed_repeats_itself_exactly() -> None:
    first, second = simulate(7), simulate(7)
    assert first.trace == second.trace
    assert first.fingerprint == second.fingerprint != simulate(8).fingerprint


def test_a_seed_repeats_itself_whatever_python_hashes() -> None:
    outputs = []
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-m", "dynamo.simulation", "--seed", "7"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        outputs.append(done.stdout)
    assert outputs[0] == outputs[1]
    assert simulate(7).fingerprint in outputs[0]


# A node looks only at what may have something to do -----------------------------------------------


class Restless:
    """A component that is never passed over."""

    idle_until = -math.inf

    def __init__(self, component: Ticker) -> None:
        self.tick = component.tick
        self.next_wake = component.next_wake


class LooksAtAll(Node):
    def _tickers(self) -> tuple[Ticker, ...]:
        return tuple(map(Restless, super()._tickers()))


@pytest.mark.parametrize("seed", [16, 20, 40])
def test_a_component_that_is_passed_over_had_nothing_to_do(seed: int) -> None:
    assert simulate(seed).fingerprint == simulate(seed, LooksAtAll).fingerprint


# What a person is shown --------------------------------------------------------------------------


@cache
def broken(seed: int) -> Run:
    return simulate(seed, IgnoresContexts)


def test_a_violation_is_told_with_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--seed", "3"], broken) == 1
    shown = capsys.readouterr().out
    assert "VIOLATION false sibling [key" in shown
    assert "again: make simulate SEED=3" in shown
    assert "StoreCopy key" in shown
    assert main(["--seed", "3", "--seeds", "2"], broken) == 1
    shown = capsys.readouterr().out
    assert "2 of 2 seeds, 2 with violations" in shown
    assert "StoreCopy key" not in shown
    assert main(["--seed", "3", "--seeds", "2", "--ladder"], broken) == 1
    assert "StoreCopy key" in capsys.readouterr().out


def test_many_seeds_stop_at_the_first_bad_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--seeds", "9", "--most", "1"], broken) == 1
    shown = capsys.readouterr().out
    assert "1 of 9 seeds, 1 with violations" in shown
    assert shown.count("again: make simulate") == 1


def test_many_seeds_run_in_several_processes() -> None:
    """As a person starts it: what a spawned process can import depends on it."""
    done = subprocess.run(
        [sys.executable, "-m", "dynamo.simulation", "--seeds", "11", "--processes", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "11 of 11 seeds, 0 with violations" in done.stdout
    assert done.stderr == ""


def test_help_lists_the_kinds_of_faults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(text in shown for text in FAULTS.values())


def test_a_seed_that_raises_is_shown_among_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "2"], lambda seed: simulate(seed, Raises)) == 1
    assert "in the world of seed 2; again: make simulate SEED=2" in capsys.readouterr().out


class Raises(Node):
    def step(self, envelopes: Iterable[Envelope], now: float, wall: float) -> Step:
        raise ZeroDivisionError


def test_a_node_that_raises_is_told_with_its_seed() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        simulate(3, Raises)
    assert raised.value.__notes__ == ["in the world of seed 3; again: make simulate SEED=3"]


@pytest.mark.parametrize("seeds", ["0", "-1", "many"])
def test_a_wrong_number_of_seeds_is_refused(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--seeds", seeds])
    assert "argument --seeds" in capsys.readouterr().err
