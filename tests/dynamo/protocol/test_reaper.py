"""Tombstones are dropped when all nodes agree that nothing they deleted can come back."""

from dataclasses import replace

from dynamo.disk.contract import copy_key, dead_key
from dynamo.protocol.messages import Envelope, FindDead, FoundDead, Put, Reap, StoreCopy
from dynamo.protocol.reaper import Reaper
from dynamo.protocol.tombstones import Note
from dynamo.protocol.trees import digest_of
from dynamo.values.versions import EMPTY, Siblings, update
from tests.dynamo.protocol.bench import SETTINGS, Bench
from tests.dynamo.protocol.benches import Benches, version

REAP_AFTER_S = 100.0
REAPING = replace(SETTINGS, reap_after_s=REAP_AFTER_S)
LONG = 6 * REAP_AFTER_S
"""Long enough for all looks, and for a pass over the notes after each."""
KEY = "colour"
LIVE = version("green", "a-1-1")
DEAD = update(LIVE, LIVE.context, "a-1-1", None, 2.0)
OWNERS = ("n1", "n2", "n3")


def deleted(count: int = 3) -> Benches:
    """Nodes all of whose owners of `KEY` hold its tombstone."""
    benches = Benches(count, REAPING)
    benches.hold(KEY, DEAD, *benches.ring.preference_list(KEY, 3))
    return benches


def left(benches: Benches) -> dict[str, Siblings]:
    """Who still has a copy of `KEY`."""
    copies = {name: bench.copy(KEY) for name, bench in benches.benches.items()}
    return {name: copy for name, copy in copies.items() if copy != EMPTY}


def test_a_tombstone_that_all_owners_hold_is_dropped_and_leaves_nothing() -> None:
    benches = deleted()
    benches.run(REAP_AFTER_S)
    assert len(left(benches)) == 3
    benches.run(LONG)
    assert left(benches) == {}
    place = benches.ring.partition_of(KEY)
    for bench in benches.benches.values():
        assert bench.disk.get(dead_key(place, KEY)) is None
        assert bench.disk.get(copy_key(place, KEY)) is None
        assert list(bench.disk.scan(b"w", b"x")) == []
    status = benches[benches.ring.preference_list(KEY, 1)[0]].node.status(0.0, 0.0)["dead"]
    assert status == {"waiting": 0, "waits_for": "", "reaped": 1}


def test_it_is_dropped_after_two_looks_and_not_sooner_than_twice_the_time() -> None:
    benches = deleted()
    benches.run(2 * REAP_AFTER_S)
    assert len(left(benches)) == 3
    benches.run(LONG)
    looks = [e for e in benches.seen if isinstance(e.message, FindDead)]
    assert len(looks) == 2 * 2
    assert benches.carried["Reap"] == 2


def test_while_a_member_is_down_nothing_is_dropped() -> None:
    """Also where it owns nothing of the key: it may keep a hint."""
    benches = deleted(4)
    [other] = set(benches.benches) - set(benches.ring.preference_list(KEY, 3))
    benches.down = {other}
    benches.run(LONG)
    assert len(left(benches)) == 3
    first = benches[benches.ring.preference_list(KEY, 1)[0]].node
    assert first.status(0.0, 0.0)["dead"]["waits_for"] == f"{other} to answer"
    benches.down = set()
    benches.run(LONG)
    assert left(benches) == {}


def test_while_an_owner_holds_something_else_nothing_is_dropped() -> None:
    benches = Benches(3, REAPING)
    first, second, third = benches.ring.preference_list(KEY, 3)
    benches.hold(KEY, DEAD, first, second)
    benches.hold(KEY, LIVE, third)
    benches.run(LONG)
    assert left(benches)[first] == DEAD
    benches.hold(KEY, DEAD, third)
    benches.run(LONG)
    assert left(benches) == {}


def test_while_a_hint_of_the_key_is_kept_nothing_is_dropped() -> None:
    benches = deleted(4)
    [other] = set(benches.benches) - set(benches.ring.preference_list(KEY, 3))
    owner = benches.ring.preference_list(KEY, 3)[2]
    benches.drops = lambda e: isinstance(e.message, StoreCopy) and not e.message.hint_for
    benches.send(other, StoreCopy(1, KEY, LIVE, hint_for=owner), sender=owner)
    benches.run(LONG)
    assert len(left(benches)) == 3
    benches.drops = lambda envelope: False
    benches.run(LONG)
    assert left(benches) == {}


def test_what_turns_up_between_the_looks_begins_them_anew() -> None:
    benches = deleted()
    benches.run(1.5 * REAP_AFTER_S)
    again = update(DEAD, DEAD.context, "a-1-1", None, 3.0)
    benches.hold(KEY, again, *OWNERS)
    benches.run(1.4 * REAP_AFTER_S)
    assert set(left(benches)) == set(OWNERS)
    benches.run(LONG)
    assert left(benches) == {}


def test_a_restart_of_the_first_owner_begins_the_looks_anew() -> None:
    """Its clock has begun anew, too."""
    benches = deleted()
    first = benches.ring.preference_list(KEY, 1)[0]
    benches.run(1.5 * REAP_AFTER_S)
    benches[first].restart(2)
    benches.run(1.5 * REAP_AFTER_S)
    assert len(left(benches)) == 3
    benches.run(LONG)
    assert left(benches) == {}


def test_a_key_that_lives_again_is_left_alone() -> None:
    benches = deleted()
    alive = update(DEAD, DEAD.context, "a-1-1", b"blue", 3.0)
    benches.hold(KEY, alive, *OWNERS)
    for bench in benches.benches.values():
        assert bench.disk.get(dead_key(benches.ring.partition_of(KEY), KEY)) is None
    benches.run(LONG)
    assert left(benches) == dict.fromkeys(OWNERS, alive)
    assert benches.carried["FindDead"] == 0


def test_an_expired_value_is_dropped_like_a_tombstone_and_not_before_it_expires() -> None:
    benches = Benches(3, REAPING)
    expiring = update(EMPTY, None, "a-1-1", b"green", 1.0, expires_at=1000.0)
    benches.hold(KEY, expiring, *OWNERS)
    benches.run(1000.0)
    assert benches.carried["FindDead"] == 0
    benches.run(LONG)
    assert left(benches) == {}


def test_an_owner_drops_only_exactly_what_it_is_told_to() -> None:
    bench = Bench(settings=REAPING)
    bench.hears(StoreCopy(1, KEY, DEAD), sender="n2")
    rank = bench.node.view.table.rank
    for reap in (
        Reap(2, rank, ((KEY, digest_of(LIVE)),)),
        Reap(3, rank._replace(epoch=rank.epoch + 1), ((KEY, digest_of(DEAD)),)),
    ):
        [answer] = bench.hears(reap, sender="n2")
        assert answer.message.dropped == 0
    assert bench.copy(KEY) == DEAD
    [answer] = bench.hears(Reap(4, rank, ((KEY, digest_of(DEAD)),)), sender="n2")
    assert answer.message.dropped == 1
    assert bench.copy(KEY) == EMPTY


def test_a_node_that_fills_agrees_to_nothing() -> None:
    bench = Bench(settings=REAPING)
    bench.hears(StoreCopy(1, KEY, DEAD), sender="n2")
    partition, rank = bench.ring.partition_of(KEY), bench.node.view.table.rank
    find = FindDead(2, rank, partition, ((KEY, digest_of(DEAD)),))
    assert FoundDead(2, (KEY,)) in [e.message for e in bench.hears(find, sender="n2")]
    bench.node.antientropy.begin_fill([partition])
    assert FoundDead(2, ()) in [e.message for e in bench.hears(find, sender="n2")]


def test_what_a_node_has_told_at_a_look_survives_a_loss_of_power() -> None:
    """Else it could come back with what the tombstone had replaced, when all others dropped it."""
    bench = Bench(settings=REAPING)
    bench.hears(StoreCopy(1, KEY, LIVE), sender="n2")
    bench.hears(StoreCopy(2, KEY, DEAD, durable=False), sender="n2")
    find = FindDead(
        3, bench.node.view.table.rank, bench.ring.partition_of(KEY), ((KEY, digest_of(DEAD)),)
    )
    assert bench.step(Envelope("n2", "n1", find)).sync


def test_the_room_of_ten_thousand_deleted_keys_is_given_back() -> None:
    benches = Benches(3, REAPING)
    benches.run(1.0)
    empty = {name: bench.disk.usage().used_bytes for name, bench in benches.benches.items()}
    for number in range(10_000):
        dead = update(version(f"{number}"), None, "a-1-1", None, 2.0)
        for bench in benches.benches.values():
            bench.node.replica.merge(f"key {number}", dead, durable=True)
    for name in benches.benches:
        benches[name].step()
        assert benches[name].disk.usage().used_bytes > empty[name] + 10_000 * 50
    benches.run(LONG)
    for name, bench in benches.benches.items():
        assert bench.disk.usage().used_bytes <= empty[name] + 1000
    assert benches.carried["FindDead"] <= 2 * 2 * (10_000 / 256 + 8)


def late_arrival(reaper: type[Reaper]) -> Benches:
    """What the delete replaced is on its way at the first look, and arrives a good while later."""
    benches = deleted()
    for bench in benches.benches.values():
        bench.node.reaper.__class__ = reaper
    benches.run(0.8 * REAP_AFTER_S)
    assert benches.carried["FindDead"] == 2
    benches.send("n2", StoreCopy(1, KEY, LIVE), sender="n1")
    benches.run(LONG)
    return benches


class HastyReaper(Reaper):
    """Drops after one look, without a pause."""

    def _weigh(
        self, key: str, note: Note, look: dict[str, bytes], reap: dict[str, bytes], now: float
    ) -> None:
        super()._weigh(key, note, look, reap, now)
        if note.looks:
            reap[key] = note.digest


def test_what_is_on_its_way_at_the_first_look_brings_nothing_back() -> None:
    assert left(late_arrival(Reaper)) == {}


def test_without_a_second_look_it_would() -> None:
    assert "n2" in left(late_arrival(HastyReaper))


def test_a_put_after_reaping_begins_a_new_life() -> None:
    """Its dots must not be taken for those of writes that were dropped."""
    bench = Bench()
    bench.hears(Put(1, KEY, None, None, 1.0))
    [before] = bench.copy(KEY).versions
    bench.node.replica.drop(KEY)
    bench.step()
    bench.hears(Put(2, KEY, b"new", None, 2.0))
    [after] = bench.copy(KEY).versions
    assert before.dot.actor != after.dot.actor
