"""Nodes that are broken on purpose in what they do with times to live, ephemeral values and
conditions; each is seen, so we know that the checkers see."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from dynamo.disk.record import Copy
from dynamo.protocol import checked
from dynamo.protocol.expiry import Expiry
from dynamo.protocol.messages import Condition, Envelope, Put
from dynamo.protocol.node import Node
from dynamo.protocol.replica import Replica
from dynamo.simulation.plan import Plan
from dynamo.simulation.run import Run, simulate
from dynamo.values import versions


class ShowsWhatHasExpired(Node):
    """Reads as of a time long ago."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.coordinator._wall = lambda: 0.0


class HidesTooSoon(Node):
    """Reads as of a time to come."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.coordinator._wall = lambda: self.wall + 30.0


class BrokenExpiry(Node):
    expiry_type: type[Expiry] = Expiry

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.expiry.__class__ = self.expiry_type


class LazyExpiry(Expiry):
    def tick(self, now: float) -> Iterable[Envelope]:
        return ()

    def next_wake(self) -> float:
        return math.inf


class NeverDrops(BrokenExpiry):
    """Keeps what has expired."""

    expiry_type = LazyExpiry


class HastyExpiry(Expiry):
    """Drops what has yet to expire."""

    def note(self, when: float, partition: int, key: str) -> None:
        super().note(when - 60.0, partition, key)

    def _drop_if_due(self, disk_key: bytes, due_by: float) -> None:
        super()._drop_if_due(disk_key, due_by + 60.0)


class DropsTooSoon(BrokenExpiry):
    expiry_type = HastyExpiry


class UnguardedReplica(Replica):
    """Puts no tombstone beside a value that expires sooner than what it replaces."""

    def _write(self, put: Put, copy: Copy) -> Copy:
        written = super()._write(put, copy)
        kept = tuple(v for v in written.siblings.versions if v.value is not None or not put.value)
        unguarded = Copy(written.life, written.siblings._replace(versions=kept))
        self._stage(put.key, unguarded, put.durable, copy.siblings)
        return unguarded


class ForgetsWhatItReplaced(Node):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.replica.__class__ = UnguardedReplica


class ForgetsTimes(Node):
    """Writes values as if they were to last."""

    def step(self, envelopes: Iterable[Envelope], *times: float) -> Any:
        return super().step(map(self._without_time, envelopes), *times)

    def _without_time(self, envelope: Envelope) -> Envelope:
        put = envelope.message
        if not isinstance(put, Put) or not put.expires_at:
            return envelope
        return msgspec.structs.replace(
            envelope, message=msgspec.structs.replace(put, expires_at=0.0)
        )


class IgnoresConditions(Node):
    """Puts whatever is there."""

    def step(self, envelopes: Iterable[Envelope], *times: float) -> Any:
        return super().step(map(self._without_condition, envelopes), *times)

    def _without_condition(self, envelope: Envelope) -> Envelope:
        put = envelope.message
        if not isinstance(put, Put):
            return envelope
        return msgspec.structs.replace(
            envelope, message=msgspec.structs.replace(put, condition=Condition.NONE)
        )


class LooksAtOneCopy(checked.PendingCheckedPut):
    """Decides by the copy here alone."""

    def __init__(self, talk: Any, replica: Any, view: Any, n: int, r: int, put: Any) -> None:
        super().__init__(talk, replica, view, n, 1, put)


class LooksOnce(checked.PendingCheckedPut):
    """Does not look again at the copy here when the others have answered."""

    _looked = False

    def _look_here(self) -> bool:
        seen_before, self._looked = self._looked, True
        return seen_before or super()._look_here()


class IsItsOwnConflict(checked.PendingCheckedPut):
    """Takes what it has left itself for another writer's."""

    def _is_mine(self, version: versions.Version) -> bool:
        return False


def passing(seed: int) -> Plan:
    """Most values pass, and no clock is wrong."""
    return replace(
        Plan.drawn(seed), passing=2, expiring=0.5, clock_jumps=0, conditional=0.0, changes=0
    )


def steadily_passing(seed: int) -> Plan:
    """Nothing crashes either, so that nothing but its time excuses the loss of a value."""
    return replace(passing(seed), crashes=0, blackouts=0, outages=0)


def torn(seed: int) -> Plan:
    """Nodes miss much of what is written on one or two keys, and hear of it by reads alone."""
    return replace(
        steadily_passing(seed),
        nodes=3,
        clients=6,
        keys=1,
        passing=1,
        operations=60,
        pause_s=0.02,
        cuts=10,
        splits=10,
        bit_flips=0,
        changes=0,
        faults_last_s=10.0,
        settings=replace(Plan.settings, anti_entropy_s=0.0),
    )


def conditional(seed: int) -> Plan:
    """Most puts have a condition."""
    return replace(Plan.drawn(seed), conditional=0.9, expiring=0.3, bit_flips=0, clock_jumps=0)


def colliding(seed: int) -> Plan:
    """Many conditional puts of one key at once."""
    return replace(conditional(seed), keys=1, passing=0, nodes=3, clients=6, pause_s=0.005)


def missing(seed: int) -> Plan:
    """Nodes that miss much, and hear of it by reads alone."""
    return replace(
        colliding(seed),
        keys=10,
        cuts=10,
        splits=10,
        changes=0,
        faults_last_s=5.0,
        settings=replace(Plan.settings, anti_entropy_s=0.0),
    )


def lonely(seed: int) -> Plan:
    """So many keys that there is seldom anybody to be in conflict with; requests come twice."""
    return replace(conditional(seed), keys=200, duplication=0.3, passing=0)


BROKEN: list[tuple[str, type[Node], Callable[[int], Plan]]] = [
    ("expired value", ShowsWhatHasExpired, passing),
    ("hidden value", HidesTooSoon, passing),
    ("leftover", NeverDrops, passing),
    ("lost write", DropsTooSoon, steadily_passing),
    ("resurrected", ForgetsWhatItReplaced, torn),
    ("invented value", ForgetsTimes, passing),
    ("condition overlooked", IgnoresConditions, conditional),
    ("both succeeded", IgnoresConditions, conditional),
    ("refused for nothing", ShowsWhatHasExpired, conditional),
]

BROKEN_LOOKS: list[tuple[str, type[checked.PendingCheckedPut], Callable[[int], Plan]]] = [
    ("condition overlooked", LooksAtOneCopy, missing),
    ("both succeeded", LooksOnce, colliding),
    ("refused for nothing", IsItsOwnConflict, lonely),
]


def name_of(part: Any) -> str:
    return part if isinstance(part, str) else part.__name__


@pytest.mark.parametrize(("rule", "node_type", "world"), BROKEN, ids=name_of)
def test_a_broken_node_is_seen(
    rule: str, node_type: type[Node], world: Callable[[int], Plan]
) -> None:
    expect(rule, lambda seed: simulate(world(seed), node_type))


@pytest.mark.parametrize(("rule", "look_type", "world"), BROKEN_LOOKS, ids=name_of)
def test_a_broken_look_is_seen(
    rule: str,
    look_type: type[checked.PendingCheckedPut],
    world: Callable[[int], Plan],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("dynamo.protocol.coordinator.PendingCheckedPut", look_type)
    expect(rule, lambda seed: simulate(world(seed)))


def expect(rule: str, run: Callable[[int], Run]) -> None:
    for seed in range(1, 201):
        if any(violation.rule == rule for violation in run(seed).violations):
            return
    pytest.fail(f"no {rule!r} in 200 seeds of what is broken on purpose")


@pytest.mark.parametrize("world", [steadily_passing, torn, colliding, missing, lonely])
def test_no_such_world_breaks_a_promise(world: Callable[[int], Plan]) -> None:
    for seed in range(1, 9):
        run = simulate(world(seed))
        assert not run.violations, (run.summary, *map(str, run.violations[:5]))


def test_what_the_rules_are_about_really_happens_and_breaks_no_promise() -> None:
    runs = [simulate(world(seed)) for world in (passing, conditional) for seed in range(1, 11)]
    for run in runs:
        assert not run.violations, (run.summary, *map(str, run.violations[:5]))
    operations = [operation for run in runs for operation in run.history.operations]
    assert sum(op.ephemeral and op.succeeded for op in operations) > 200
    for condition in (Condition.ABSENT, Condition.UNCHANGED):
        ended = [op for op in operations if op.condition is condition]
        assert any(op.succeeded for op in ended)
        assert any(op.refusal == "conflict" for op in ended)
    shown = [v for op in operations if op.siblings for v in op.siblings.versions if v.expires_at]
    assert any(version.value is None for version in shown)
    assert any(version.value is not None for version in shown)
