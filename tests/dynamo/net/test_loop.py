"""The loop of step, commit and send, without sockets: what is told, and when."""

from collections.abc import Iterator, Sequence
from typing import Any

import gevent
import pytest

from cli.local_cluster import free_ports
from dynamo.disk.contract import INDEXED, MemoryDisk, Write
from dynamo.errors import NodeFailed, Unreachable
from dynamo.net import loop, queue, wire
from dynamo.net.loop import NodeLoop
from dynamo.protocol.messages import Envelope, Failed, Failure, Get, GetDone, Message, Put, PutDone
from dynamo.protocol.node import Node, Step
from dynamo.protocol.settings import Settings
from dynamo.values.cluster import found


class WatchedDisk(MemoryDisk):
    """A disk that tells of its commits."""

    def __init__(self) -> None:
        super().__init__()
        super().commit([Write(INDEXED, b"0.0")], sync=True)  # a node has been on it before
        self.commits: list[tuple[int, bool]] = []

    def commit(self, writes: Sequence[Write], *, sync: bool) -> None:
        super().commit(writes, sync=sync)
        self.commits.append((len(writes), sync))


class Bench:
    """One node that is the whole ring, with its loop in a greenlet."""

    def __init__(self) -> None:
        self.disk = WatchedDisk()
        self.lives: list[str] = []
        """Why each node that was made takes no writes, "" where it takes them."""
        self.loop = NodeLoop(self.make_node, self.disk)
        self.running = gevent.spawn(self.loop.run)
        with gevent.Timeout(5):
            while not self.disk.commits:  # its first note of the cluster
                gevent.sleep(0.001)
        self.disk.commits.clear()

    def make_node(self, read_only: str) -> Node:
        self.lives.append(read_only)
        founding = found({"n1": "127.0.0.1:1"}, partitions=1, n=1)
        settings = Settings(n=1, r=1, w=1)
        return Node("n1", founding, settings, self.disk, len(self.lives), read_only)

    def exchange(self, *messages: Message, caller: str = "client") -> list[Message]:
        """All answers; one frame has no room for all where they are large."""
        sent = [Envelope(caller, "n1", message) for message in messages]
        answers: list[Message] = []
        while True:
            frame = self.loop.exchange(wire.encode(wire.Frame(caller, len(sent), sent)))
            answer = wire.decode(frame)
            answers += [envelope.message for envelope in answer.envelopes]
            if not answer.open or self.running.dead:
                return answers
            sent = []


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(loop, "HOLD_S", 5.0)  # a busy machine must not cut an exchange short
    bench = Bench()
    yield bench
    bench.loop.stop()
    gevent.joinall([bench.running], timeout=5)
    assert bench.running.dead
    bench.loop.close()


def put(id: int, *, durable: bool = True, value: bytes = b"v") -> Put:
    return Put(id, f"key {id}", value, None, 1.0, durable=durable)


def test_all_that_comes_together_is_one_commit(bench: Bench) -> None:
    done = bench.exchange(*(put(id) for id in range(1, 101)))
    assert [reply.id for reply in done] == list(range(1, 101))
    assert all(isinstance(reply, PutDone) for reply in done)
    assert bench.disk.commits == [(2 * 100, True)]  # with their index entries


def test_nothing_is_done_for_a_request_that_has_waited_all_of_its_time(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue.EnvelopeQueue, "waiting_s", 5.0)
    late = Put(1, "key 1", b"v", None, 1.0, timeout_s=5.0)
    in_time = Put(2, "key 2", b"v", None, 1.0, timeout_s=5.1)
    patient = Put(3, "key 3", b"v", None, 1.0)
    refused, *done = bench.exchange(late, in_time, patient)
    assert isinstance(refused, Failed)
    assert refused.reason is Failure.OVERLOADED
    assert "waited 5.0 s at n1" in refused.detail
    assert [type(reply) for reply in done] == [PutDone, PutDone]
    [got] = bench.exchange(Get(4, "key 1"))
    assert isinstance(got, GetDone)
    assert got.siblings.values == ()


def test_a_put_that_needs_no_fsync_costs_none_and_a_get_no_commit(bench: Bench) -> None:
    bench.exchange(put(1, durable=False))
    [got] = bench.exchange(Get(2, "key 1"))
    assert isinstance(got, GetDone)
    assert got.siblings.values == (b"v",)
    assert bench.disk.commits == [(2, False)]


def test_a_disk_that_refuses_acknowledges_nothing_and_reads_go_on(bench: Bench) -> None:
    bench.exchange(put(1, value=b"before"))
    bench.disk.refuses = "no room"
    overwrite = Put(2, "key 1", b"after", None, 2.0)
    refused, read = bench.exchange(overwrite, Get(3, "key 1"))
    assert refused == Failed(2, Failure.READ_ONLY, "n1 takes no writes: no room")
    assert isinstance(read, GetDone)
    assert read.siblings.values == (b"before",)
    assert bench.lives == ["", "n1 takes no writes: no room"]
    assert bench.loop.status()["read_only"] == "n1 takes no writes: no room"


def test_a_disk_that_recovers_takes_writes_again_and_says_so_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "LOOK_S", 0.02)
    bench.disk.refuses = "no room"
    for id in (1, 2, 3):
        assert [type(reply) for reply in bench.exchange(put(id))] == [Failed]
    bench.disk.refuses = ""
    with gevent.Timeout(5):
        while bench.loop.status()["read_only"]:
            gevent.sleep(0.005)
    assert [type(reply) for reply in bench.exchange(put(4))] == [PutDone]
    assert len(bench.lives) == 3
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "node n1 takes no writes, reads go on: no room",
        "node n1 takes writes again",
    ]


def test_a_disk_that_fails_otherwise_ends_the_node() -> None:
    bench = Bench()

    def fail() -> None:
        raise NodeFailed("LevelDB can't be opened again")

    bench.disk.recover = fail  # type: ignore[method-assign]
    assert bench.exchange(put(1)) == []
    with pytest.raises(NodeFailed, match="opened again"):
        bench.running.get(timeout=5)
    bench.loop.close()


def test_many_large_answers_are_made_in_several_steps(bench: Bench) -> None:
    large = bytes(1 << 20)
    bench.exchange(*(put(id, value=large) for id in range(1, 6)))
    weights: list[int] = []
    step = bench.loop.node.step

    def weighed(*arguments: Any) -> Step:
        done = step(*arguments)
        weights.append(sum(map(wire.weight, done.envelopes)))
        return done

    bench.loop.node.step = weighed  # type: ignore[method-assign]
    found = bench.exchange(*(Get(id, f"key {id % 5 + 1}") for id in range(10, 110)))
    assert len(found) == 100
    assert {type(reply) for reply in found} == {GetDone}
    assert sum(weights) > 100 << 20
    assert max(weights) < 48 << 20


def test_callers_that_never_fetch_their_answers_share_one_bound(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.exchange(put(1, value=bytes(1 << 20)))
    bench.loop._answers.limit_bytes = 20 << 20
    sessions = [
        bench.loop._submit(f"client {number}", [Envelope(f"client {number}", "n1", get)])
        for number, get in enumerate(Get(1, "key 1") for _ in range(50))
    ]
    with gevent.Timeout(5):
        while any(session.open for session in sessions):
            gevent.sleep(0.005)
    assert bench.loop._answers.used_bytes < 21 << 20
    monkeypatch.setattr(loop, "ABANDONED_S", -1.0)
    [read] = bench.exchange(Get(2, "key 1"), caller="a new one")
    assert isinstance(read, GetDone)


def test_past_the_limit_the_answer_is_overloaded_at_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LIMIT_BYTES", 1 << 20)
    first = gevent.spawn(bench.exchange, *(put(id, value=bytes(100_000)) for id in range(1, 9)))
    gevent.sleep(0)  # the first call is in the inbox; the loop has not run yet
    large = [put(id, value=bytes(100_000)) for id in range(11, 19)]
    refused = bench.exchange(*large, caller="another client")
    assert {type(reply) for reply in refused} == {Failed}
    assert {reply.reason for reply in refused if isinstance(reply, Failed)} == {Failure.OVERLOADED}
    assert [type(reply) for reply in first.get(timeout=5)] == [PutDone] * 8


def test_answers_that_no_frame_had_room_for_are_still_owed(bench: Bench) -> None:
    for id in (1, 2, 3):
        bench.exchange(put(id, value=bytes(3 << 20)))
    gets = [Envelope("client", "n1", Get(id, f"key {id}")) for id in (1, 2, 3)]
    first = wire.decode(bench.loop.exchange(wire.encode(wire.Frame("client", 3, gets))))
    assert (len(first.envelopes), first.open) == (2, 1)
    second = wire.decode(bench.loop.exchange(wire.encode(wire.Frame("client", 1, []))))
    assert (len(second.envelopes), second.open) == (1, 0)


def test_a_plain_call_gets_its_own_answer(bench: Bench) -> None:
    assert isinstance(bench.loop.ask(lambda id: put(id), timeout_s=5), PutDone)
    status = bench.loop.status()
    assert status["handled"] == {"Put": 1}
    assert status["requests_in_flight"] == 0


def test_a_request_that_a_link_has_lost_is_news_to_the_node() -> None:
    settings = Settings(n=1, r=1, w=1)
    (nobody,) = free_ports(1)
    addresses = {"n1": "127.0.0.1:1", "n2": f"127.0.0.1:{nobody}"}
    disk = WatchedDisk()
    node = Node("n1", found(addresses, partitions=2, n=1), settings, disk, 1)
    at_work = NodeLoop(lambda read_only: node, disk)
    running = gevent.spawn(at_work.run)
    at_work._on_lost([Envelope("n1", "n2", Put(5, "key", b"", None, 1.0))], Unreachable("gone"))
    with gevent.Timeout(5):
        while "n2" in node.members.up:
            gevent.sleep(0.005)
    assert at_work.status()["members"] == {"n2": False}
    at_work.stop()
    running.join(timeout=5)
    at_work.close()
