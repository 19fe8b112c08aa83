"""The slow walk over all copies: an index is made where there is none, damage is found and told."""

from dataclasses import replace

from dynamo.disk.contract import COPIES, INDEXED, MemoryDisk, Write, copy_key, index_key
from dynamo.protocol.messages import GetRoots, RootsDone
from dynamo.values.hashtree import segment_of
from tests.dynamo.protocol.bench import SETTINGS, Bench
from tests.dynamo.protocol.benches import version

WEEKLY = replace(SETTINGS, rebuild_s=7 * 86400.0)
INDEX = (b"w", b"x")
ALL = tuple(range(8))


def held_by(*keys: str) -> MemoryDisk:
    """A disk with copies of these keys and their index."""
    disk = MemoryDisk()
    bench = Bench(disk=disk)
    for key in keys:
        bench.node.replica.merge(key, version("v"), durable=True)
    bench.step()
    return disk


def without_index(disk: MemoryDisk) -> MemoryDisk:
    """The same as it was before there was an index."""
    writes = [Write(key, None) for key, _ in disk.scan(*INDEX)]
    disk.commit([*writes, Write(INDEXED, None)], sync=True)
    return disk


def roots(bench: Bench) -> dict[int, bytes]:
    bench.hears(GetRoots(1, ALL, 10.0), sender="n2")
    [done] = bench.hears(GetRoots(2, ALL, 10.0), sender="n2")
    assert isinstance(done.message, RootsDone)
    return dict(done.message.roots)


def run(bench: Bench, for_s: float) -> None:
    """Let time pass, one wake of the node after the other."""
    end = bench.now + for_s
    while (at := bench.node.next_wake()) is not None and at <= end:
        bench.at(max(bench.now, at))
    bench.now = end


KEYS = [f"key {number}" for number in range(1000)]


def test_a_disk_from_before_there_was_an_index_gets_one_and_only_then_is_compared() -> None:
    indexed = held_by(*KEYS)
    wanted = list(indexed.scan(*INDEX))
    truth = roots(Bench(disk=indexed))
    bench = Bench(disk=without_index(indexed))
    bench.step()
    assert set(roots(bench)) <= {0}  # the first slice held all of that partition
    run(bench, 60.0)
    assert list(bench.disk.scan(*INDEX)) == wanted
    assert roots(bench) == truth
    assert bench.disk.get(INDEXED) is not None
    bench.restart(incarnation=3)
    assert bench.node.trees.unindexed == set()


def test_an_index_that_was_half_made_is_made_again_after_a_restart() -> None:
    bench = Bench(disk=without_index(held_by(*KEYS)))
    for _ in range(3):
        bench.at(bench.now + 0.1)
    assert 0 < len(list(bench.disk.scan(*INDEX))) < len(KEYS)
    bench.restart(incarnation=3)
    run(bench, 60.0)
    assert len(list(bench.disk.scan(*INDEX))) == len(KEYS)


def test_one_step_reads_a_slice_only() -> None:
    bench = Bench(disk=without_index(held_by(*KEYS)))
    most = 0
    for _ in range(100):
        bench.now += 0.1
        step = bench.step()
        most = max(most, len(step.writes))
    assert most <= 256 + 2


def test_what_is_written_meanwhile_is_indexed_as_it_is() -> None:
    bench = Bench(disk=without_index(held_by("colour")))
    bench.node.replica.merge("colour", version("new", "y-1-1"), durable=True)
    run(bench, 10.0)
    place = index_key(bench.ring.partition_of("colour"), segment_of("colour"), "colour")
    other = Bench()
    other.node.replica.merge("colour", version("v"), durable=True)
    other.node.replica.merge("colour", version("new", "y-1-1"), durable=True)
    other.step()
    assert bench.disk.get(place) == other.disk.get(place)


def test_each_week_every_copy_is_read_and_damage_is_told() -> None:
    bench = Bench(settings=WEEKLY, disk=held_by(*KEYS))
    bench.restart(incarnation=2)
    damaged: list[str] = []
    bench.node.scrub.when_damaged.append(damaged.append)
    place = copy_key(bench.ring.partition_of("key 7"), "key 7")
    bench.disk.commit([Write(place, b"rubbish")], sync=True)
    run(bench, 6 * 86400.0)
    assert damaged == []
    run(bench, 2 * 86400.0)
    assert damaged == ["key 7"]
    bench.restart(incarnation=3)  # and the week begins again, whoever starts
    bench.node.scrub.when_damaged.append(damaged.append)
    run(bench, 86400.0)
    assert damaged == ["key 7"]
    run(bench, 7 * 86400.0)
    assert damaged == ["key 7"] * 2
    assert len(list(bench.disk.scan(*COPIES))) == len(KEYS)


def test_a_wrong_entry_is_made_good_within_the_week() -> None:
    bench = Bench(settings=WEEKLY, disk=held_by(*KEYS))
    before = list(bench.disk.scan(*INDEX))
    bench.disk.commit([Write(before[3][0], b"rubbish!"), Write(before[5][0], None)], sync=True)
    run(bench, 8 * 86400.0)
    assert list(bench.disk.scan(*INDEX)) == before
    assert bench.node.scrub.mended == 2
