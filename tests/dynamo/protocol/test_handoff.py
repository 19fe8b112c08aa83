"""Hinted handoff (Dynamo paper, section 4.6): kept, delivered, and deleted on the owner's word."""

from dataclasses import replace

from dynamo.disk.contract import HINTS, MemoryDisk, Write, hint_key
from dynamo.protocol.messages import (
    CopyStored,
    Envelope,
    Failed,
    Failure,
    Lost,
    Ping,
    Pong,
    Put,
    PutDone,
    StoreCopy,
)
from dynamo.values.versions import EMPTY, NOTHING_SEEN, reconcile, update
from tests.dynamo.protocol.bench import SETTINGS, Bench, key_owned_by, receivers, ring_of

RING = ring_of(5)
KEY = key_owned_by(RING, "n1", "n2", "n3")
SUBSTITUTE = RING.placements(KEY, 3, {"n1", "n3", "n4", "n5"})[1].node
NEW = update(EMPTY, NOTHING_SEEN, "n1-1-1", b"new", 1.0)
BESIDE = update(EMPTY, NOTHING_SEEN, "n3-1-1", b"beside", 2.0)


def coordinator() -> Bench:
    return Bench("n1", RING)


def substitute() -> Bench:
    """The node that stands in for n2, which it takes to be down."""
    bench = Bench(SUBSTITUTE, RING)
    bench.hears(Lost(99), sender="n2")
    return bench


def hints(bench: Bench) -> list[bytes]:
    return [key for key, _ in bench.disk.scan(*HINTS)]


def stores(envelopes: list[Envelope]) -> list[tuple[str, str]]:
    """Receiver and hint of each copy that is sent."""
    found = [(e.receiver, e.message) for e in envelopes]
    return [(to, message.hint_for) for to, message in found if isinstance(message, StoreCopy)]


# The coordinator ---------------------------------------------------------------------------------


def test_a_node_that_is_down_is_stood_in_for_by_the_next_one_around_the_ring() -> None:
    bench = coordinator()
    bench.hears(Lost(99), sender="n2")
    sent = bench.hears(Put(7, KEY, b"v", None, 1.0))
    assert stores(sent) == [(SUBSTITUTE, "n2"), ("n3", "")]


def test_a_node_that_does_not_answer_in_time_is_stood_in_for() -> None:
    bench = coordinator()
    assert stores(bench.hears(Put(7, KEY, b"v", None, 1.0, w=3))) == [("n2", ""), ("n3", "")]
    again = bench.at(0.5)
    assert stores(again) == [("n2", ""), ("n3", "")]
    late = bench.at(1.0)
    assert (SUBSTITUTE, "n2") in stores(late)
    assert ("n2", "") in stores(late)  # it may only be slow


def test_a_lost_request_is_given_to_a_substitute_at_once() -> None:
    bench = coordinator()
    [to_n2, _] = bench.hears(Put(7, KEY, b"v", None, 1.0))
    assert stores(bench.hears(Lost(to_n2.message.id), sender="n2")) == [(SUBSTITUTE, "n2")]


def test_a_lost_substitute_is_replaced_by_the_next() -> None:
    bench = coordinator()
    bench.hears(Lost(99), sender="n2")
    [hinted, _] = bench.hears(Put(7, KEY, b"v", None, 1.0, w=3))
    other = ({"n4", "n5"} - {SUBSTITUTE}).pop()
    assert stores(bench.hears(Lost(hinted.message.id), sender=SUBSTITUTE)) == [(other, "n2")]


def test_a_substitute_completes_the_quorum_only_when_the_owners_can_not() -> None:
    bench = coordinator()
    bench.hears(Lost(99), sender="n2")
    sent = bench.hears(Put(7, KEY, b"v", None, 1.0))
    id = sent[0].message.id
    assert bench.hears(CopyStored(id, "n2"), sender=SUBSTITUTE) == []  # n3 may yet answer
    answers = bench.hears(Lost(id), sender="n3")
    assert PutDone(7, ("n1", SUBSTITUTE)) in [e.message for e in answers]


def test_without_substitutes_a_small_cluster_still_says_who_was_silent() -> None:
    bench = Bench("n1", ring_of(3))
    [to_n2, _] = bench.hears(Put(7, "key", b"v", None, 1.0))
    for silent in ("n2", "n3"):
        bench.hears(Lost(to_n2.message.id), sender=silent)
    failed = [e.message for e in bench.at(10.0) if isinstance(e.message, Failed)]
    assert [(f.needed, f.answered, set(f.silent)) for f in failed] == [(2, ("n1",), {"n2", "n3"})]


# The substitute ----------------------------------------------------------------------------------


def test_a_hinted_copy_is_kept_apart_and_is_not_the_nodes_own() -> None:
    bench = substitute()
    [answer] = bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    assert answer.message == CopyStored(5, "n2")
    assert hints(bench) == [hint_key("n2", KEY)]
    assert bench.copy(KEY) == EMPTY
    assert bench.node.handoff.kept == {"n2": 1}


def test_it_is_delivered_when_the_owner_is_back_and_deleted_on_its_acknowledgement() -> None:
    bench = substitute()
    bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    [ping] = bench.at(1.0)
    assert isinstance(ping.message, Ping)
    [delivery] = bench.hears(Pong(ping.message.id), sender="n2")
    assert delivery.receiver == "n2"
    assert delivery.message == StoreCopy(delivery.message.id, KEY, NEW)
    assert hints(bench) == [hint_key("n2", KEY)]  # not yet: it may never arrive
    bench.hears(CopyStored(delivery.message.id), sender="n2")
    assert hints(bench) == []
    assert bench.node.handoff.kept == {}
    assert bench.node.handoff.since == {}
    assert bench.node.next_wake() is None


def test_a_delivery_that_is_not_acknowledged_is_sent_again() -> None:
    bench = substitute()
    bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    bench.hears(Pong(1), sender="n2")
    [again] = bench.at(1.0)
    assert stores([again]) == [("n2", "")]
    bench.hears(CopyStored(again.message.id), sender="n2")
    assert hints(bench) == []


def test_a_copy_that_has_changed_under_way_is_kept_and_delivered_too() -> None:
    bench = substitute()
    bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    [first] = bench.hears(Pong(1), sender="n2")
    bench.hears(StoreCopy(6, KEY, BESIDE, hint_for="n2"), sender="n3")
    [second] = bench.hears(CopyStored(first.message.id), sender="n2")
    assert isinstance(second.message, StoreCopy)
    assert second.message.siblings == reconcile([NEW, BESIDE])
    bench.hears(CopyStored(second.message.id), sender="n2")
    assert hints(bench) == []


def test_hints_survive_a_restart_of_the_node_that_keeps_them() -> None:
    bench = substitute()
    bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    bench.restart(incarnation=2)
    assert bench.node.handoff.kept == {"n2": 1}
    assert bench.node.handoff.since == {"n2": 1.0}
    wake_at = bench.node.next_wake()
    assert wake_at is not None  # nobody has to ask it for anything
    [delivery] = bench.at(wake_at)  # all are up until the contrary is seen
    assert stores([delivery]) == [("n2", "")]


def test_deliveries_are_throttled_to_a_batch() -> None:
    bench = Bench(SUBSTITUTE, RING, replace(SETTINGS, handoff_batch=2))
    bench.hears(Lost(99), sender="n2")
    for number in range(5):
        bench.hears(StoreCopy(number, f"key{number}", NEW, hint_for="n2"), sender="n1")
    batches = [bench.hears(Pong(1), sender="n2")]
    while batches[-1]:
        done = [CopyStored(e.message.id) for e in batches[-1]]
        batches.append(bench.hears(*done, sender="n2"))
    assert [len(batch) for batch in batches] == [2, 2, 1, 0]
    assert hints(bench) == []


def test_past_the_limit_a_hint_is_refused() -> None:
    bench = Bench(SUBSTITUTE, RING, replace(SETTINGS, hints_limit=1))
    bench.hears(Lost(99), sender="n2")
    bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    [refused] = bench.hears(StoreCopy(6, "another", NEW, hint_for="n2"), sender="n1")
    assert isinstance(refused.message, Failed)
    assert refused.message.reason is Failure.OVERLOADED


def test_a_damaged_hint_is_dropped_and_the_others_are_delivered() -> None:
    disk = MemoryDisk()
    bench = Bench(SUBSTITUTE, RING, disk=disk)
    bench.hears(Lost(99), sender="n2")
    bench.hears(StoreCopy(5, KEY, NEW, hint_for="n2"), sender="n1")
    bench.hears(StoreCopy(6, "zz", NEW, hint_for="n2"), sender="n1")
    disk.commit([Write(hint_key("n2", KEY), b"rubbish")], sync=True)
    assert receivers(bench.hears(Pong(1), sender="n2")) == ["n2"]
    assert bench.node.handoff.kept == {"n2": 1}
