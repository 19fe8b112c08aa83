"""The node in a virtual world: 2,000 seeds without a violation, and checkers that would see one."""

import os
import subprocess
import sys
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
from dynamo.protocol.reaper import Reaper
from dynamo.protocol.replica import Replica
from dynamo.protocol.settings import Settings
from dynamo.simulation.__main__ import main
from dynamo.simulation.checkers import Violation, check
from dynamo.simulation.history import Operation
from dynamo.simulation.machine import Machine
from dynamo.simulation.plan import FAULTS, Plan
from dynamo.simulation.run import Run, command, simulate
from dynamo.simulation.workload import VirtualClient, read_back
from dynamo.simulation.world import World
from dynamo.values import versions
from dynamo.values.cluster import Cluster
from dynamo.values.versions import NOTHING_SEEN, Siblings

SEEDS = 400
CHUNK = 50


def report(run: Run) -> str:
    lines = [run.summary, *map(str, run.violations[:5]), f"again: {command(run.plan.seed)}"]
    return "\n".join(lines)


@pytest.mark.parametrize("first", range(1, SEEDS + 1, CHUNK))
def test_no_seed_breaks_a_promise(first: int) -> None:
    for seed in range(first, first + CHUNK):
        run = simulate(seed)
        assert not run.violations, report(run)


@pytest.mark.parametrize("world", ["hard", "single"])
def test_no_hard_world_breaks_one_either(world: str) -> None:
    plan_of = {"hard": hard, "single": single}[world]
    for seed in range(1, 26):
        run = simulate(plan_of(seed))
        assert not run.violations, report(run)


def test_faults_really_happen() -> None:
    """The seeds would be worth little if nothing went wrong in them."""
    runs = [simulate(seed) for seed in range(1, 41)]
    operations = [operation for run in runs for operation in run.history.operations]
    assert any(not operation.succeeded for operation in operations)
    assert any(len(op.siblings.values) > 2 for op in operations if op.siblings)
    assert any(count > 1 for run in runs for count in run.history.deliveries.values())
    for fate in ("lost", "cut off", "nobody there"):
        assert any(getattr(event, "fate", "") == fate for run in runs for event in run.trace)
    notes = {getattr(event, "text", "") for run in runs for event in run.trace}
    assert {"stands still", "goes on", "is in time again", "has its clock right"} <= notes
    assert {"crashes", "crashes in a commit", "crashes behind a commit"} <= notes


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


# The checkers see what is broken -----------------------------------------------------------------


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
        self.coordinator._next_id = count(1).__next__


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

    def next_wake(self) -> float | None:
        return None


class NeverDelivers(BreaksHandoff):
    handoff_type = LazyHandoff


class LazyAntiEntropy(AntiEntropy):
    """Answers the others, and never asks."""

    def tick(self, now: float) -> Iterable[Envelope]:
        return []

    def next_wake(self) -> float | None:
        return None


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


def hard(seed: int) -> Plan:
    """A world in which several things go wrong at once."""
    return replace(
        Plan.drawn(seed),
        nodes=3,
        clients=6,
        keys=4,
        operations=40,
        blackouts=8,
        crashes=8,
        commit_s=0.1,
        loss=0.1,
        slow=0.2,
        slow_s=1.0,
    )


def single(seed: int) -> Plan:
    """A hard world with one replica of each key: nobody else holds what a crash takes."""
    plan = hard(seed)
    settings = replace(plan.settings, n=1, r=1, w=1)
    return replace(plan, bit_flips=0, old_disks=0, settings=settings)


def haunted(seed: int) -> Plan:
    """Nodes that start again while answers to what they asked before are on their way."""
    return replace(
        hard_and_unhelped(seed),
        operations=60,
        crashes=30,
        blackouts=0,
        bit_flips=0,
        full_disks=0,
        outages=0,
        cuts=0,
        splits=0,
        one_way_cuts=0,
        broken_links=0,
        pauses=0,
        slowdowns=0,
        loss=0.0,
        slow=0.5,
    )


def often_down(seed: int) -> Plan:
    """Nodes that are down for long, and a quorum of all owners: hints have to make it up."""
    return replace(
        Plan.drawn(seed),
        nodes=5,
        clients=6,
        keys=30,
        operations=30,
        pause_s=0.1,
        crashes=0,
        blackouts=0,
        cuts=0,
        loss=0.0,
        outages=8,
        resets=1.0,
        settings=replace(Plan.settings, r=1, w=3, anti_entropy_s=0.0),
    )


def rotting(seed: int) -> Plan:
    """Disks whose bits flip."""
    return replace(Plan.drawn(seed), bit_flips=30).scrubbed()


def unhelped(seed: int) -> Plan:
    """Nobody compares hash trees, which would make good what another part has left undone."""
    return without_anti_entropy(Plan.drawn(seed))


def hard_and_unhelped(seed: int) -> Plan:
    return without_anti_entropy(hard(seed))


def without_anti_entropy(plan: Plan) -> Plan:
    return replace(plan, settings=replace(plan.settings, anti_entropy_s=0.0))


WORLDS: dict[object, Callable[[int], Plan]] = {
    AcknowledgesTooEarly: single,
    CountsRequestsFromOne: haunted,
    DropsHints: often_down,
    KeepsWhatItShouldPassOn: often_down,
    ReturnsDamagedCopies: rotting,
    BeginsDamagedCopiesAnew: rotting,
    DeletesHintsTooEarly: often_down,
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


# Reaping -----------------------------------------------------------------------------------------


def forgetting(seed: int) -> Plan:
    """Tombstones are dropped soon, while nodes are away for longer; no envelope takes that long."""
    plan = replace(
        Plan.drawn(seed),
        nodes=3,
        keys=30,
        clients=4,
        operations=60,
        pause_s=0.1,
        outages=6,
        faults_last_s=8.0,
        passing=0,
        crashes=0,
        blackouts=0,
        slow=0.0,
        bit_flips=0,
        slowdowns=0,
        pauses=0,
        duplication=0.0,
        careless=0.0,
        clock_jumps=0,
        old_disks=0,
    )
    return replace(plan, settings=replace(plan.settings, timeout_s=0.5, reap_after_s=0.5))


class ReapsAfterAQuorum(Node):
    """Asks two owners, and drops what they agree about."""

    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        self.reaper.__class__ = QuorumReaper


class QuorumReaper(Reaper):
    def _whom(self) -> tuple[str, ...]:
        me, up = self._view.me, self._members.up
        return tuple([me, *(name for name in super()._whom() if name != me and name in up)][:2])


class NeverReaps(Node):
    def __init__(self, *arguments: Any, **extra: Any) -> None:
        super().__init__(*arguments, **extra)
        self._ticking = tuple(c for c in self._ticking if c is not self.reaper)


def reaped(run: Run) -> bool:
    """True if some key that was deleted has left nothing on any disk."""
    return any(
        siblings == versions.EMPTY
        for key in {op.key for op in run.history.of_kind("delete") if op.succeeded}
        for siblings in run.copies[key].values()
    )


def test_what_was_deleted_stays_deleted_though_its_tombstones_are_dropped() -> None:
    runs = [simulate(forgetting(seed)) for seed in range(1, 41)]
    for run in runs:
        assert not run.violations, report(run)
    assert sum(map(reaped, runs)) > len(runs) // 2
    assert not any(reaped(simulate(forgetting(seed), NeverReaps)) for seed in range(1, 11))


def deleted_while_one_is_away(node_type: type[Node], ttl_s: float | None = None) -> list[Violation]:
    """n3 has each value, misses each delete, and comes back when its tombstone could be gone; with
    `ttl_s` each value is not deleted but replaced by one that expires after so long."""
    plan = Plan(seed=1, keys=8, settings=replace(Plan.settings, timeout_s=0.5, reap_after_s=0.5))
    world = World(plan, node_type)
    client = VirtualClient("c1", world, count(1), pause_s=0.01)

    def script() -> Iterator[Operation]:
        for key in plan.key_names:
            yield Operation("put", key, key.encode())
        for key in plan.key_names:
            yield Operation("get", key, r=3)
        world.machines["n3"].crash()
        for key in plan.key_names:
            found = client.readings[key]
            saw = tuple(version.written_at for version in found.versions)
            write = Operation("delete", key, None, found.context, saw, at_node="n1")
            if ttl_s is not None:
                write.kind, write.value, write.ttl_s = "put", b"passes", ttl_s
            yield write

    client.follow(script())
    world.clock.run(until=lambda: not client.working)
    world.clock.run(for_s=5.0)
    world.machines["n3"].start()
    world.clock.run(for_s=30.0)
    read_back(world)
    owners = {key: world.owners(key) for key in plan.key_names}
    copies = {key: world.kept_copies(key) for key in plan.key_names}
    assert all(op.succeeded for op in world.history.of_kind("put", "delete"))
    return check(world.history, owners, copies, plan.settings.w, plan.settings.reap_after_s)


def test_what_was_deleted_while_a_node_was_away_stays_deleted_when_it_is_back() -> None:
    assert deleted_while_one_is_away(Node) == []


def test_what_a_value_replaced_that_has_expired_since_stays_replaced_too() -> None:
    assert deleted_while_one_is_away(Node, ttl_s=0.5) == []
    rules = {violation.rule for violation in deleted_while_one_is_away(ReapsAfterAQuorum, 0.5)}
    assert "resurrected" in rules


@pytest.mark.parametrize("node_type", [ReapsAfterAQuorum, Resurrects])
def test_a_node_that_resurrects_is_seen_though_tombstones_are_reaped(
    node_type: type[Node],
) -> None:
    rules = {violation.rule for violation in deleted_while_one_is_away(node_type)}
    assert "resurrected" in rules


# What a person is shown --------------------------------------------------------------------------


def test_a_violation_is_told_with_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(seed: int) -> Run:
        return simulate(seed, IgnoresContexts)

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
    def broken(seed: int) -> Run:
        return simulate(seed, IgnoresContexts)

    assert main(["--seed", "3", "--seeds", "9", "--most", "1"], broken) == 1
    shown = capsys.readouterr().out
    assert "1 of 9 seeds, 1 with violations" in shown
    assert shown.count("again: make simulate") == 1


def test_many_seeds_run_in_several_processes() -> None:
    """As a person starts it: what a spawned process can import depends on it."""
    done = subprocess.run(
        [sys.executable, "-m", "dynamo.simulation", "--seeds", "41", "--processes", "2"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "41 of 41 seeds, 0 with violations" in done.stdout
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
