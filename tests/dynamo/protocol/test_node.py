"""The node as a whole: a step is computed, and nothing has happened until it is performed."""

from dynamo.disk.contract import MemoryDisk
from dynamo.protocol import messages
from dynamo.protocol.messages import (
    CopyStored,
    Envelope,
    Get,
    GetDone,
    Put,
    PutDone,
    Request,
)
from dynamo.protocol.node import Node
from dynamo.protocol.settings import Settings
from dynamo.values.ring import Ring
from tests.dynamo.protocol.bench import SETTINGS, Bench, cluster_of

PUT = Put(7, "colour", b"green", None, written_at=1.0)


def test_a_step_writes_nothing_itself() -> None:
    disk = MemoryDisk()
    node = Node("n1", cluster_of(Ring(("n1",)), 1), Settings(n=1, r=1, w=1), disk, incarnation=7)
    step = node.step([Envelope("client", "n1", PUT)], now=0.0, wall=0.0)
    assert sorted(write.key[:1] for write in step.writes) == [b"c", b"m", b"v", b"w"]
    assert step.sync
    assert list(disk.scan(b"", b"\xff")) == []


def test_one_commit_holds_the_last_state_of_each_key_of_a_step() -> None:
    bench = Bench()
    puts = [Put(number, f"key{number % 2}", b"%d" % number, None, number) for number in range(6)]
    step = bench.step(*(Envelope("client", "n1", put) for put in puts))
    assert len(step.writes) == 2 * 2  # with their index entries
    assert bench.copy("key0").values == (b"4",)
    assert bench.copy("key1").values == (b"5",)


def test_a_get_sees_the_put_before_it_in_the_same_step() -> None:
    bench = Bench()
    sent = bench.hears(PUT, Get(8, "colour", r=1))
    [done] = [each.message for each in sent if isinstance(each.message, GetDone)]
    assert done.siblings.values == (b"green",)


def test_every_message_has_its_handler() -> None:
    assert set(Bench().node._handlers) == set(messages.Message.__args__)


def test_each_reply_goes_to_the_component_that_asked() -> None:
    node = Bench().node
    sources = [asker._next_id for asker in node._askers if hasattr(asker, "_next_id")]
    ids = [next_id() for next_id in sources for _ in range(3)]
    assert len(set(ids)) == len(ids)
    assert len({id % len(node._askers) for id in ids}) == len(sources) >= 7


def test_a_node_that_has_nothing_in_flight_never_wakes() -> None:
    bench = Bench()
    bench.step()
    assert bench.node.next_wake() is None
    bench.hears(PUT)
    assert bench.node.next_wake() == 0.5


def test_a_late_answer_to_an_earlier_life_counts_for_nothing() -> None:
    bench = Bench(incarnation=1)
    [store, _] = bench.hears(PUT)
    late = CopyStored(store.message.id)
    bench.restart(incarnation=2)
    bench.hears(PUT)
    assert bench.hears(late, sender="n2") == []


def test_ids_of_the_largest_incarnation_fit_a_message() -> None:
    bench = Bench(incarnation=(1 << 38) - 1)
    [store, _] = bench.hears(PUT)
    assert store.message.id < 1 << 63


def test_three_nodes_carry_a_put_to_its_get() -> None:
    benches = {name: Bench(name, incarnation=3) for name in ("n1", "n2", "n3")}
    answers: list[Envelope] = []

    def deliver(envelopes: list[Envelope]) -> None:
        for envelope in envelopes:
            if envelope.receiver in benches:
                deliver(benches[envelope.receiver].step(envelope).envelopes)
            else:
                answers.append(envelope)

    deliver([Envelope("client", "n1", PUT)])
    deliver([Envelope("client", "n3", Get(8, "colour"))])
    put, get = (answer.message for answer in answers)
    assert isinstance(put, PutDone)
    assert isinstance(get, GetDone)
    assert get.siblings.values == (b"green",)
    assert all(bench.copy("colour") == get.siblings for bench in benches.values())


def test_a_put_that_comes_twice_stands_twice_and_shows_one_value() -> None:
    """The second has the context of the first, which did not know it."""
    bench = Bench()
    put = Put(7, "colour", b"green", {}, written_at=1.0)
    bench.hears(put, put)
    assert len(bench.copy("colour").versions) == 2
    assert bench.copy("colour").values == (b"green",)


def test_a_put_without_a_context_that_comes_twice_stands_once() -> None:
    bench = Bench()
    bench.hears(PUT, PUT)
    assert len(bench.copy("colour").versions) == 1


def test_the_default_settings_overlap() -> None:
    defaults = Settings()
    assert defaults.r + defaults.w > defaults.n
    assert SETTINGS.r + SETTINGS.w > SETTINGS.n


def test_requests_and_replies_are_told_apart() -> None:
    assert isinstance(PUT, Request)
    assert not isinstance(CopyStored(1), Request)
