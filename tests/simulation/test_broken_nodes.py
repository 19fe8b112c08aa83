"""Nodes and machines that are broken on purpose: for each rule the checkers see one."""

import math
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import count, islice
from typing import Any

import msgspec
import pytest

from dynamo.disk import record
from dynamo.disk.contract import Write, copy_key
from dynamo.disk.record import Copy
from dynamo.errors import CorruptData
from dynamo.protocol.antientropy import AntiEntropy
from dynamo.protocol.handoff import Handoff
from dynamo.protocol.messages import CopyStored, Envelope, FetchCopy, Listed, Put, StoreCopy
from dynamo.protocol.node import Node, Step
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.simulation.machine import Machine
from dynamo.simulation.plan import Plan
from dynamo.simulation.run import simulate
from dynamo.values import versions
from dynamo.values.cluster import Cluster
from dynamo.values.versions import NOTHING_SEEN, Siblings
from tests.simulation.worlds import (
    haunted,
    often_down,
    often_down_and_deaf,
    rotting,
    rotting_away,
    single,
    unhelped,
)


class AcknowledgesTooEarly(Machine):
    """Sends what a step says before its commit."""

    def perform(self, step: Step) -> None:
        self.send(step)
        super().perform(step._replace(envelopes=[]))


class NeverSyncs(Machine):
    """Commits everything without fsync."""

    def perform(self, step: Step) -> None:
        super().perform(step._replace(sync=False))


class ComesBackWithAnOldDisk(Machine):
    """Restarts on a copy of its disk from before, and gives itself the same incarnation again."""

    def draw_incarnation(self) -> int:
        return 1

    def crash(self) -> None:
        if not hasattr(self, "backup"):
            self.backup = dict(self.disk.scan(b"", b"\xff"))
        super().crash()
        present = dict(self.disk.scan(b"", b"\xff"))
        writes = [Write(key, self.backup.get(key)) for key in present]
        self.disk.commit(writes, sync=True)


class OneNode(Node):
    """A node whose replica can be broken."""

    replica_type: type[Replica] = Replica

    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        self.replica.__class__ = self.replica_type


class ReadsOneCopy(OneNode):
    """Answers a get from the first copy it finds."""

    def __init__(
        self, name: str, founding: Cluster, settings: Settings, *arguments: Any, **extra: Any
    ) -> None:
        super().__init__(name, founding, replace(settings, r=1), *arguments, **extra)


class CountsRequestsFromOne(OneNode):
    """Gives its requests the same numbers in each of its lives."""

    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        askers = self._askers
        first = askers.index(self.coordinator) + len(askers)
        self.coordinator._next_id = count(first, len(askers)).__next__


class OverwritingReplica(Replica):
    """Takes what arrives for the truth instead of merging it."""

    def merge(self, key: str, siblings: Siblings, durable: bool) -> None:
        self._stage(key, Copy(self._load(key).life, siblings), durable)


class Overwrites(OneNode):
    replica_type = OverwritingReplica


class ForgetfulReplica(Replica):
    """Does not look at the context of a put."""

    def write(self, put: Put) -> Siblings:
        context = NOTHING_SEEN if put.context else put.context
        return super().write(msgspec.structs.replace(put, context=context))


class IgnoresContexts(OneNode):
    replica_type = ForgetfulReplica


class LyingReplica(Replica):
    """Acknowledges copies of keys it holds already, and doesn't take them in."""

    def merge(self, key: str, siblings: Siblings, durable: bool) -> None:
        if self._load(key).siblings == versions.EMPTY:
            super().merge(key, siblings, durable)


class AcknowledgesAndForgets(OneNode):
    replica_type = LyingReplica


class NeverRepairs(Node):
    """Leaves stale replicas as they are: drops what it would send them after a get."""

    def step(self, envelopes: Iterable[Envelope], now: float, wall: float) -> Step:
        step = super().step(envelopes, now, wall)
        self._gets = getattr(self, "_gets", set()) | {
            sent.message.id for sent in step.envelopes if isinstance(sent.message, FetchCopy)
        }
        kept = [
            sent
            for sent in step.envelopes
            if not (isinstance(sent.message, StoreCopy) and sent.message.id in self._gets)
        ]
        return step._replace(envelopes=kept)


class ForgetsTombstones(Replica):
    """Lists deleted keys as if they were there."""

    def _scan(self, prefix: str, after: str) -> Iterator[Listed]:
        for key, copy in super()._scan(prefix, after):
            blanked = tuple(version._replace(value=b"") for version in copy.versions)
            yield Listed(key, copy._replace(versions=blanked))


class ListsDeletedKeys(OneNode):
    replica_type = ForgetsTombstones


class ShortList(Replica):
    """Lists the first two keys only."""

    def _scan(self, prefix: str, after: str) -> Iterator[Listed]:
        return (item for item in islice(super()._scan(prefix, ""), 2) if item.key > after)


class ListsTooLittle(OneNode):
    replica_type = ShortList


class BreaksHandoff(OneNode):
    """A node whose hinted handoff can be broken."""

    handoff_type: type[Handoff] = Handoff

    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        self.handoff.__class__ = self.handoff_type


class DroppingHandoff(Handoff):
    """Acknowledges a hinted copy, and does not keep it."""

    def keep(self, envelope: Envelope) -> Iterable[Envelope]:
        request: StoreCopy = envelope.message  # type: ignore[assignment]
        return [envelope.reply(CopyStored(request.id, request.hint_for))]


class DropsHints(BreaksHandoff):
    handoff_type = DroppingHandoff


class HastyHandoff(Handoff):
    """Deletes a hinted copy as soon as it has been sent."""

    def _next_batch(self, owner: str) -> Iterable[Envelope]:
        sent = list(super()._next_batch(owner))
        for id in [envelope.message.id for envelope in sent]:
            self.drop(self._sent.pop(id)[1])
        return sent


class DeletesHintsTooEarly(BreaksHandoff):
    handoff_type = HastyHandoff


class LazyHandoff(Handoff):
    """Never delivers."""

    def tick(self, now: float) -> Iterable[Envelope]:
        return []

    def next_wake(self) -> float:
        return math.inf


class NeverDelivers(BreaksHandoff):
    handoff_type = LazyHandoff


class LazyAntiEntropy(AntiEntropy):
    """Answers the others, and never asks."""

    def tick(self, now: float) -> Iterable[Envelope]:
        return []

    def next_wake(self) -> float:
        return math.inf


class NeverCompares(Node):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.antientropy.__class__ = LazyAntiEntropy


class ForgetfulOfDeletes(Replica):
    """Takes a tombstone for nothing at all, so that any old copy brings the key back."""

    def _stage(
        self, key: str, copy: Copy, durable: bool, before: Siblings = versions.EMPTY
    ) -> None:
        super()._stage(key, copy, durable, before)
        if all(version.value is None for version in copy.siblings.versions):
            self._staging.delete(copy_key(self._view.partition_of(key), key))


class Resurrects(OneNode):
    replica_type = ForgetfulOfDeletes


class TrustingReplica(Replica):
    """Reads its disk without a look at the checksum."""

    def _load(self, key: str) -> Copy:
        try:
            return super()._load(key)
        except CorruptData:
            stored = self._staging.get(copy_key(self._view.partition_of(key), key)) or b""
            right = zlib.crc32(stored[4:]).to_bytes(4, "big")
            try:
                return record.decode(right + stored[4:])
            except UnicodeDecodeError as error:
                raise CorruptData("no text") from error


class ReturnsDamagedCopies(OneNode):
    replica_type = TrustingReplica


class BeginningReplica(Replica):
    """Begins a damaged copy anew with whatever is written to it next."""

    def merge(self, key: str, siblings: Siblings, durable: bool) -> None:
        self._begin_anew(key)
        super().merge(key, siblings, durable)

    def write(self, put: Put) -> Siblings:
        self._begin_anew(put.key)
        return super().write(put)

    def _begin_anew(self, key: str) -> None:
        if self._is_damaged(key):
            self._stage(key, Copy("", versions.EMPTY), durable=False)


class BeginsDamagedCopiesAnew(OneNode):
    replica_type = BeginningReplica


class KeepsWhatItShouldPassOn(OneNode):
    """Takes hinted copies for its own."""

    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        self._handlers[StoreCopy] = lambda envelope, now: self.replica.on_store(envelope)


BROKEN = [
    ("resurrected", Resurrects, Machine),
    ("invented value", ReturnsDamagedCopies, Machine),
    ("lost write", BeginsDamagedCopiesAnew, Machine),
    ("misplaced copy", KeepsWhatItShouldPassOn, Machine),
    ("not converged", NeverCompares, Machine),
    ("thin write", DropsHints, Machine),
    ("thin write", DeletesHintsTooEarly, Machine),
    ("forgotten hint", NeverDelivers, Machine),
    ("lost write", Node, AcknowledgesTooEarly),
    ("lost write", Node, NeverSyncs),
    ("lost write", ReadsOneCopy, Machine),
    ("invented value", CountsRequestsFromOne, Machine),
    ("lost write", Overwrites, Machine),
    ("lost write", AcknowledgesAndForgets, Machine),
    ("dot used twice", Node, ComesBackWithAnOldDisk),
    ("false sibling", IgnoresContexts, Machine),
    ("differing copies", NeverRepairs, Machine),
    ("wrong list", ListsDeletedKeys, Machine),
    ("wrong list", ListsTooLittle, Machine),
]

WORLDS: dict[object, Callable[[int], Plan]] = {
    AcknowledgesTooEarly: single,
    CountsRequestsFromOne: haunted,
    DropsHints: often_down,
    KeepsWhatItShouldPassOn: often_down,
    ReturnsDamagedCopies: rotting,
    BeginsDamagedCopiesAnew: rotting_away,
    DeletesHintsTooEarly: often_down_and_deaf,
    NeverDelivers: often_down,
    NeverRepairs: unhelped,
}
"""Where what is broken shows soon; for all others any world will do."""


@pytest.mark.parametrize(
    ("rule", "node_type", "machine_type"),
    BROKEN,
    ids=[(machine if node is Node else node).__name__ for _, node, machine in BROKEN],
)
def test_a_broken_node_is_seen(
    rule: str, node_type: type[Node], machine_type: type[Machine]
) -> None:
    world = WORLDS.get(machine_type) or WORLDS.get(node_type) or Plan.drawn
    for seed in range(1, 201):
        run = simulate(world(seed), node_type, machine_type)
        if any(violation.rule == rule for violation in run.violations):
            return
    pytest.fail(f"no {rule!r} in 200 seeds of a node that is broken on purpose")
