"""Sections 4.5, 4.6, 5 and 6.4: how get and put are carried out, and what failures change."""

from itertools import combinations

import pytest

from dynamo.disk.contract import HINTS
from dynamo.protocol.messages import (
    CopyFetched,
    CopyStored,
    Envelope,
    Failed,
    FetchCopy,
    Get,
    GetDone,
    GetRing,
    Lost,
    Message,
    Ping,
    Pong,
    Put,
    PutDone,
    RingDone,
    StoreCopy,
)
from dynamo.protocol.quorum import ReadQuorum, WriteQuorum
from dynamo.values.ring import Placement, Ring
from dynamo.values.versions import EMPTY, NOTHING_SEEN, reconcile, update
from tests.dynamo.protocol.bench import Bench, key_owned_by, receivers, ring_of

RING = ring_of(5)
KEY = key_owned_by(RING, "n1", "n2", "n3")
SUBSTITUTE = list(RING.walk(KEY))[3]
PUT = Put(7, KEY, b"book", None, 1.0)
OLD = update(EMPTY, NOTHING_SEEN, "n2-1-1", b"old", 1.0)
NEW = update(OLD, OLD.context, "n2-1-1", b"new", 2.0)
BESIDE = update(EMPTY, NOTHING_SEEN, "n3-1-1", b"beside", 3.0)


def node(name: str = "n1", down: tuple[str, ...] = ()) -> Bench:
    """A node that takes others to be down."""
    bench = Bench(name, RING)
    for member in down:
        bench.hears(Lost(99), sender=member)
    return bench


def messages(sent: list[Envelope]) -> list[Message]:
    return [envelope.message for envelope in sent]


# 4.5 Execution of get and put --------------------------------------------------------------------


def test_any_node_takes_a_request_and_passes_it_to_one_that_holds_the_key() -> None:
    """4.5: any node may be asked; one that is not among the top N forwards to one that is."""
    [passed] = node("n4").hears(PUT)
    assert passed.receiver == "n1"
    assert isinstance(passed.message, Put)


def test_nodes_that_are_down_are_skipped() -> None:
    """4.5: operations involve the first healthy nodes; those that are down are skipped over."""
    assert receivers(node("n4", down=("n1",)).hears(PUT)) == ["n2"]


def test_a_put_is_written_here_first_and_sent_to_the_others() -> None:
    """4.5: the coordinator writes the new version locally and sends it to the other nodes."""
    bench = node()
    sent = bench.hears(PUT)
    assert bench.copy(KEY).values == (b"book",)
    assert sorted(receivers(sent)) == ["n2", "n3"]


def test_a_put_succeeds_with_w_minus_one_answers_of_others() -> None:
    """4.5: if at least W-1 nodes respond the write is successful."""
    bench = node()
    id = bench.hears(PUT)[0].message.id
    assert messages(bench.hears(CopyStored(id), sender="n3")) == [PutDone(7, ("n1", "n3"))]


def test_a_get_asks_all_of_the_top_n_and_answers_at_r() -> None:
    """4.5: the coordinator requests all versions from the N nodes, and waits for R responses."""
    bench = node()
    asked = bench.hears(Get(7, KEY))
    assert sorted(receivers(asked)) == ["n2", "n3"]
    fetch = asked[0].message
    assert isinstance(fetch, FetchCopy)
    [answer] = bench.hears(CopyFetched(fetch.id, NEW), sender="n2")
    assert answer.message == GetDone(7, NEW, ("n1", "n2"))


def test_a_get_returns_all_versions_that_are_causally_unrelated() -> None:
    """4.5: with several versions it returns those it deems causally unrelated, and no ancestor."""
    quorum = ReadQuorum(["n1", "n2", "n3"], 3)
    for name, copy in (("n1", OLD), ("n2", NEW), ("n3", BESIDE)):
        quorum.add(name, copy)
    assert set(quorum.answer().values) == {b"new", b"beside"}


@pytest.mark.parametrize(("r", "w"), [(2, 2), (1, 3), (3, 1)])
def test_with_r_plus_w_above_n_every_read_meets_every_write(r: int, w: int) -> None:
    """4.5: R + W > N yields a quorum-like system."""
    owners = ("n1", "n2", "n3")
    for written in combinations(owners, w):
        for read in combinations(owners, r):
            quorum = ReadQuorum(owners, r)
            for name in read:
                quorum.add(name, NEW if name in written else OLD)
            assert quorum.answer() == NEW


def test_r_and_w_are_chosen_by_who_asks() -> None:
    """4.5, 6: applications tune N, R and W. Here each request may."""
    assert PutDone(7, ("n1",)) in messages(node().hears(Put(7, KEY, b"book", None, 1.0, w=1)))
    assert messages(node().hears(Get(8, KEY, r=1))) == [GetDone(8, EMPTY, ("n1",))]


# 4.6 Hinted handoff ------------------------------------------------------------------------------


def test_the_next_node_stands_in_for_one_that_is_down() -> None:
    """4.6: with A down, what was meant for it is sent to the node after the preference list."""
    placed = RING.placements(KEY, 3, {"n1", "n3", "n4", "n5"})
    assert placed == [Placement("n1"), Placement(SUBSTITUTE, hint_for="n2"), Placement("n3")]


def test_a_hint_names_the_node_it_was_meant_for() -> None:
    """4.6: the replica sent elsewhere has a hint that suggests its intended recipient."""
    sent = messages(node(down=("n2",)).hears(PUT))
    assert "n2" in [message.hint_for for message in sent if isinstance(message, StoreCopy)]


def test_hinted_copies_are_kept_in_a_place_of_their_own() -> None:
    """4.6: they are kept in a separate local database. Here it is a range of keys on the same disk,
    so that one commit covers both."""
    bench = node(SUBSTITUTE, down=("n2",))
    bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    assert bench.copy(KEY) == EMPTY
    assert len(list(bench.disk.scan(*HINTS))) == 1


def test_a_hinted_copy_is_delivered_and_only_then_deleted() -> None:
    """4.6: upon detecting that A has recovered it is delivered, and deleted once that succeeded."""
    bench = node(SUBSTITUTE, down=("n2",))
    bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    [ping] = bench.at(1.0)
    assert isinstance(ping.message, Ping)
    [delivery] = bench.hears(Pong(ping.message.id), sender="n2")
    assert (delivery.receiver, delivery.message.siblings) == ("n2", NEW)  # type: ignore[union-attr]
    assert list(bench.disk.scan(*HINTS))
    bench.hears(CopyStored(delivery.message.id), sender="n2")
    assert not list(bench.disk.scan(*HINTS))


def test_a_write_goes_on_though_owners_are_down() -> None:
    """4.6: writes are not failed by temporary failures: substitutes complete the quorum.

    Here they do so only where too few owners are left to be waited for: a get that follows could
    otherwise miss a write though all of its owners are alive.
    """
    quorum = WriteQuorum([["n1", "n2", "n3"]], needed=2)
    quorum.add("n1")
    quorum.add("n4", hint_for="n2")
    assert not quorum.enough(up=["n1", "n3", "n4"])
    assert quorum.enough(up=["n1", "n4"])


def test_a_read_counts_owners_only() -> None:
    """4.6: the first N healthy nodes serve reads too. Here a read's quorum is strict: a substitute
    knows nothing of what was written before it came in, and its "nothing" would hide that."""
    asked = node(down=("n2",)).hears(Get(7, KEY))
    assert sorted(receivers(asked)) == ["n2", "n3"]


def test_with_w_of_one_a_single_owner_takes_a_write() -> None:
    """4.6: with W = 1 a write is accepted as long as a single node has durably written it."""
    sent = messages(node(down=("n2", "n3", "n4", "n5")).hears(Put(7, KEY, b"v", None, 1.0, w=1)))
    assert sent == [PutDone(7, ("n1",))]


def test_with_no_owner_left_a_write_fails() -> None:
    """4.6: any node of the system may then accept it. Here one owner at least has to be reached: a
    version is made by a node that holds the key's earlier ones."""
    bench = node("n4", down=("n1", "n2", "n3"))
    bench.hears(PUT)
    [answer] = [e.message for e in bench.at(10.0) if e.receiver == "client"]
    assert isinstance(answer, Failed)
    assert set(answer.silent) == {"n1", "n2", "n3"}


# 5 Implementation, 6.4 Client-driven coordination ------------------------------------------------


def test_a_get_repairs_the_replicas_that_answered_with_less() -> None:
    """5: read repair: stale versions that came with a read are brought up to date afterwards."""
    bench = node()
    [to_n2, _] = bench.hears(Get(7, KEY))
    bench.hears(CopyFetched(to_n2.message.id, OLD), sender="n2")
    repairs = bench.hears(CopyFetched(to_n2.message.id, NEW), sender="n3")
    assert [(e.receiver, e.message.siblings) for e in repairs] == [("n2", NEW)]  # type: ignore[union-attr]
    assert bench.copy(KEY) == NEW


def test_a_late_answer_is_waited_for_a_while_and_repaired_too() -> None:
    """5: the state machine of a read waits for outstanding responses after it has answered."""
    bench = node()
    [to_n2, _] = bench.hears(Get(7, KEY))
    bench.hears(CopyFetched(to_n2.message.id, NEW), sender="n2")
    bench.now = 0.9
    repairs = bench.hears(CopyFetched(to_n2.message.id, OLD), sender="n3")
    assert receivers(repairs) == ["n3"]


def test_any_of_the_top_n_coordinates_a_write() -> None:
    """5: any of the top N nodes may coordinate, which spreads the load of writes."""
    for owner in ("n1", "n2", "n3"):
        sent = node(owner).hears(PUT)
        assert {*receivers(sent), owner} == {"n1", "n2", "n3"}


def test_two_coordinators_may_make_concurrent_versions() -> None:
    """5, 6.3: writes through different nodes that have not seen each other are both kept."""
    copies = []
    for owner in ("n1", "n2"):
        bench = node(owner)
        bench.hears(Put(7, KEY, owner.encode(), NOTHING_SEEN, 1.0))
        copies.append(bench.copy(KEY))
    assert set(reconcile(copies).values) == {b"n1", b"n2"}


def test_an_acknowledged_write_is_synced_unless_its_writer_renounces() -> None:
    """6.1: durability may be traded for speed by buffered writes. Here the writer of a key says so;
    else all W nodes have synced it."""
    assert node().step(Envelope("client", "n1", PUT)).sync
    careless = Put(7, KEY, b"book", None, 1.0, durable=False)
    assert not node().step(Envelope("client", "n1", careless)).sync


def test_a_client_can_coordinate_by_what_it_knows_of_the_ring() -> None:
    """6.4: a client that has got the state of the ring sends to the right nodes by itself."""
    [answer] = node("n4").hears(GetRing(7))
    told = answer.message
    assert isinstance(told, RingDone)
    assert Ring(told.owners, told.epoch).preference_list(KEY, told.n) == ("n1", "n2", "n3")
