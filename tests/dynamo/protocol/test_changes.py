"""Requests and copies while partitions move: by which of two tables of owners each is done."""

import msgspec
import pytest

from dynamo.protocol.messages import (
    CopiesListed,
    CopyFetched,
    CopyStored,
    Envelope,
    FetchCopy,
    Get,
    GetDone,
    GetRoots,
    KeysListed,
    ListCopies,
    Listed,
    ListKeys,
    Put,
    PutDone,
    RootsDone,
    Rumour,
    StoreCopy,
)
from dynamo.values.cluster import News, Phase, Rank
from dynamo.values.versions import EMPTY, update
from tests.dynamo.protocol.bench import Bench, key_owned_by, receivers, ring_of

RING = ring_of(4)
BEFORE = RING.owners
AFTER = (*RING.owners[1:], RING.owners[0])
KEY = key_owned_by(RING, "n1", "n2", "n3")
"""By the table after the change n2, n3 and n4 hold it."""
ONE = update(EMPTY, None, "n1-1-1", b"1", 1.0)
PUT = Put(7, KEY, b"green", None, written_at=1.0)


def go_by(
    bench: Bench, phase: Phase, owners: tuple[str, ...], target: tuple[str, ...] = ()
) -> list[Envelope]:
    """Let the node hear of a table; what it says to clients and about keys."""
    known = bench.node.view.table
    table = known._replace(
        rank=Rank(known.rank.epoch + 1), phase=phase, owners=owners, target=target
    )
    sent = bench.hears(Rumour(0, News(table, {}, {})), sender="n3")
    asked = (StoreCopy, FetchCopy, ListCopies, PutDone, GetDone, KeysListed)
    return [envelope for envelope in sent if isinstance(envelope.message, asked)]


def bench_in(phase: Phase) -> Bench:
    bench = Bench("n2", RING)
    if phase is not Phase.STABLE:
        go_by(bench, Phase.FILLING, BEFORE, AFTER)
    if phase is Phase.SWITCHING:
        go_by(bench, Phase.SWITCHING, BEFORE, AFTER)
    return bench


@pytest.mark.parametrize("phase", [Phase.FILLING, Phase.SWITCHING])
def test_a_put_needs_a_quorum_of_the_old_owners_and_one_of_the_new(phase: Phase) -> None:
    bench = bench_in(phase)
    stores = bench.hears(PUT)
    assert sorted(receivers(stores)) == ["n1", "n3", "n4"]
    id = stores[0].message.id
    assert bench.hears(CopyStored(id), sender="n1") == []  # two of the old, one of the new
    [done] = bench.hears(CopyStored(id), sender="n4")
    assert done.message == PutDone(7, ("n1", "n2", "n4"))


def test_a_put_under_way_when_a_change_begins_needs_the_new_owners_too() -> None:
    bench = bench_in(Phase.STABLE)
    id = bench.hears(PUT)[0].message.id
    [more] = go_by(bench, Phase.FILLING, BEFORE, AFTER)
    assert more.receiver == "n4" and isinstance(more.message, StoreCopy)
    assert bench.hears(CopyStored(id), sender="n1") == []
    assert [e.message for e in bench.hears(CopyStored(id), sender="n4")] == [
        PutDone(7, ("n1", "n2", "n4"))
    ]


def test_gets_go_by_the_old_owners_until_all_have_filled_up() -> None:
    asked = {phase: sorted(receivers(bench_in(phase).hears(Get(7, KEY)))) for phase in Phase}
    assert asked == {
        Phase.STABLE: ["n1", "n3"],
        Phase.FILLING: ["n1", "n3"],
        Phase.SWITCHING: ["n3", "n4"],
    }


def test_a_get_under_way_counts_no_copy_of_one_that_is_no_owner_any_more() -> None:
    bench = bench_in(Phase.FILLING)
    id = bench.hears(Get(7, KEY, r=3))[0].message.id
    assert bench.hears(CopyFetched(id, ONE), sender="n1") == []
    again = go_by(bench, Phase.SWITCHING, BEFORE, AFTER)
    assert sorted(receivers(again)) == ["n3", "n4"]
    assert bench.hears(CopyFetched(id, EMPTY), sender="n3") == []
    [done, *_] = bench.hears(CopyFetched(id, ONE), sender="n4")
    assert done.message == GetDone(7, ONE, ("n2", "n3", "n4"))


def page(id: int, epoch: int) -> CopiesListed:
    return CopiesListed(id, (Listed(KEY, ONE),), more=False, epoch=epoch)


def test_a_list_counts_no_page_from_before_the_change_began() -> None:
    """The owner of a partition by now may have had none of it when it made that page."""
    bench = bench_in(Phase.STABLE)
    id = bench.hears(ListKeys(7, "", "", 10))[0].message.id
    assert bench.hears(page(id, 1), sender="n1") == []
    assert go_by(bench, Phase.FILLING, BEFORE, AFTER) != []
    assert sorted(receivers(go_by(bench, Phase.SWITCHING, BEFORE, AFTER))) == ["n1", "n3", "n4"]
    assert bench.hears(page(id, 3), sender="n4") == []
    assert bench.hears(page(id, 1), sender="n1") == []  # it has been long on its way
    [done] = bench.hears(page(id, 2), sender="n1")  # that one knew of the change
    assert done.message == KeysListed(7, (KEY,), "")


def test_a_copy_that_belongs_here_again_is_not_dropped_by_a_comparison_from_before() -> None:
    bench = Bench("n1", RING)
    bench.hears(StoreCopy(1, KEY, ONE), sender="n2")
    go_by(bench, Phase.STABLE, AFTER)
    [asked] = [e for e in bench.at(1.0) if isinstance(e.message, GetRoots)]
    assert asked.message.partitions == (RING.partition_of(KEY),)
    [told] = bench.hears(msgspec.structs.replace(asked.message, id=2), sender="n4")
    assert isinstance(told.message, RootsDone)
    go_by(bench, Phase.STABLE, BEFORE)
    bench.hears(msgspec.structs.replace(told.message, id=asked.message.id), sender=asked.receiver)
    for later in (1.1, 2.0, 4.0):
        bench.at(later)
    assert bench.copy(KEY) == ONE


def test_a_copy_that_does_not_belong_here_is_dropped_once_an_owner_has_it() -> None:
    bench = Bench("n1", RING)
    bench.hears(StoreCopy(1, KEY, ONE), sender="n2")
    go_by(bench, Phase.STABLE, AFTER)
    [asked] = [e for e in bench.at(1.0) if isinstance(e.message, GetRoots)]
    [told] = bench.hears(msgspec.structs.replace(asked.message, id=2), sender="n4")
    assert bench.copy(KEY) == ONE
    bench.hears(msgspec.structs.replace(told.message, id=asked.message.id), sender=asked.receiver)
    bench.at(1.1)
    assert bench.copy(KEY) == EMPTY


def leave(bench: Bench) -> None:
    """Let the node hear of a table in which it is no member."""
    table = bench.node.view.table
    rest = tuple(name for name in table.members if name != bench.name)
    owners = tuple(rest[place % len(rest)] for place in range(len(table.owners)))
    told = table._replace(rank=Rank(table.rank.epoch + 1), members=rest, owners=owners)
    bench.hears(Rumour(0, News(told, {}, {})), sender="n3")


def test_a_node_that_has_left_lets_a_member_list() -> None:
    """It would not hear that a partition has gone on to others since."""
    bench = Bench("n1", RING)
    bench.hears(StoreCopy(1, KEY, ONE), sender="n2")
    leave(bench)
    [passed_on] = [e for e in bench.hears(ListKeys(7, "", "", 10)) if e.receiver != "client"]
    assert passed_on.receiver in ("n2", "n3", "n4")
    listed = KeysListed(passed_on.message.id, (KEY,), "")
    [done] = bench.hears(listed, sender=passed_on.receiver)
    assert done == Envelope("n1", "client", KeysListed(7, (KEY,), ""))


def test_a_node_that_is_no_member_drops_what_it_fetched_to_become_one() -> None:
    bench = Bench("n1", RING)
    bench.hears(StoreCopy(1, KEY, ONE), sender="n2")
    leave(bench)
    bench.at(1.0)
    assert bench.copy(KEY) == EMPTY


def test_a_node_that_was_removed_keeps_what_it_has() -> None:
    bench = Bench("n1", RING)
    bench.hears(StoreCopy(1, KEY, ONE), sender="n2")
    known = bench.node.view.table
    removed = known._replace(
        rank=Rank(known.rank.epoch + 1),
        members=("n2", "n3", "n4"),
        owners=("n2", "n3", "n4", "n2") * 2,
        removed=("n1",),
    )
    bench.hears(Rumour(0, News(removed, {}, {})), sender="n3")
    bench.at(1.0)
    assert bench.copy(KEY) == ONE
