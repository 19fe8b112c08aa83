"""Links against a real zerorpc server: gathering, silence, and a server that has forgotten."""

from collections.abc import Callable, Iterator

import gevent
import gevent.event
import pytest
import zerorpc

from cli.local_cluster import free_ports
from dynamo.errors import DynamoError, Overloaded, Unreachable
from dynamo.net import link, queue, wire
from dynamo.net.link import Ended, Link, Prepare
from dynamo.protocol.messages import CopyStored, Envelope, StoreCopy
from dynamo.values import versions


class Server:
    """A node's side of a link, which answers as the test wants."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.frames: list[list[int]] = []
        self.connections: list[wire.Connection] = []
        self.answers: Callable[[list[Envelope]], bytes] = answer_all
        self.may_answer = gevent.event.Event()
        self.may_answer.set()
        self.open()

    def open(self) -> None:
        self._rpc = zerorpc.Server({"exchange": self.exchange}, heartbeat=None)
        self._rpc.bind(f"tcp://{self.address}")
        self._running = gevent.spawn(self._rpc.run)

    def exchange(self, frame: bytes) -> bytes:
        _, _, envelopes, connection = wire.decode(frame)
        self.connections.append(connection)
        self.frames.append([envelope.message.id for envelope in envelopes])
        self.may_answer.wait()
        return self.answers(envelopes)

    def close(self) -> None:
        """As a process ends: what it works on is not answered, its connections are closed."""
        self._rpc._task_pool.kill()
        self._running.kill()
        self._rpc.close()


class Caller:
    """A link's side of a link, which keeps what it hears."""

    def __init__(self, address: str, prepare: Prepare | None = None) -> None:
        self.replies: list[int] = []
        self.lost: list[tuple[int, DynamoError]] = []
        self._context = zerorpc.Context()
        told = self.on_replies, self.on_lost
        self.link = Link("n1", address, *told, self._context, prepare)

    def close(self) -> None:
        self.link.close()
        self._context.term()

    def on_replies(self, replies: list[Envelope]) -> None:
        self.replies += [reply.message.id for reply in replies]

    def on_lost(self, requests: list[Envelope], error: DynamoError) -> None:
        self.lost += [(request.message.id, error) for request in requests]

    def send(self, *ids: int, value: bytes = b"") -> None:
        siblings = versions.update(versions.EMPTY, None, "a", value, 1.0)
        self.link.send([Envelope("n1", "n2", StoreCopy(id, "key", siblings)) for id in ids])


def answer_all(envelopes: list[Envelope]) -> bytes:
    replies = [e.reply(CopyStored(e.message.id)) for e in envelopes]
    return wire.encode(wire.Frame("n2", 0, replies))


def answer_none(envelopes: list[Envelope]) -> bytes:
    return wire.encode(wire.Frame("n2", 0, []))


def wait(condition: Callable[[], object], what: str) -> None:
    """Like `tests.waiting.wait_until`, and lets the greenlets run meanwhile."""
    with gevent.Timeout(10, AssertionError(f"waited in vain for {what}")):
        while not condition():
            gevent.sleep(0.005)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def caller(server: Server) -> Iterator[Caller]:
    caller = Caller(server.address)
    yield caller
    caller.close()


def test_what_is_sent_during_an_exchange_goes_in_the_next_one(
    server: Server, caller: Caller
) -> None:
    server.may_answer.clear()
    caller.send(1)
    wait(lambda: server.frames, "the first exchange")
    for id in range(2, 50):
        caller.send(id)
    server.may_answer.set()
    wait(lambda: len(caller.replies) == 49, "all replies")
    assert server.frames == [[1], list(range(2, 50))]
    assert caller.lost == []


def test_a_large_batch_is_cut_into_frames(server: Server, caller: Caller) -> None:
    caller.send(*range(1, 11), value=bytes(2 << 20))
    wait(lambda: len(caller.replies) == 10, "all replies")
    assert [len(frame) for frame in server.frames] == [3, 3, 3, 1]


def test_a_request_is_not_sent_again_while_its_answer_may_come(
    server: Server, caller: Caller
) -> None:
    server.may_answer.clear()
    caller.send(1)
    wait(lambda: server.frames, "the first exchange")
    caller.send(1)
    caller.send(2)
    caller.send(2)
    server.may_answer.set()
    wait(lambda: len(caller.replies) == 2, "both replies")
    assert server.frames == [[1], [2]]


def test_what_a_restarted_node_knows_nothing_of_is_lost(server: Server, caller: Caller) -> None:
    server.answers = answer_none
    caller.send(1, 2)
    wait(lambda: len(caller.lost) == 2, "the news")
    assert {id for id, _ in caller.lost} == {1, 2}
    assert "restarted" in str(caller.lost[0][1])
    assert caller.link.up


def test_a_silent_node_loses_what_was_sent_and_what_waited_and_is_left_alone(
    server: Server, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 0.2)
    server.may_answer.clear()
    caller.send(1)
    wait(lambda: server.frames, "the first exchange")
    caller.send(2)
    wait(lambda: len(caller.lost) == 2, "the news")
    assert not caller.link.up
    caller.send(3)
    assert [id for id, _ in caller.lost] == [1, 2, 3]
    server.may_answer.set()
    wait(lambda: caller.link.up, "the next try")
    caller.send(4)
    wait(lambda: 4 in caller.replies, "the answer of the node that is back")
    first, *_, last = server.connections
    assert first.life == last.life and first.number < last.number


def test_a_node_that_answers_rubbish_is_left_alone(server: Server, caller: Caller) -> None:
    server.answers = lambda envelopes: b"rubbish"
    caller.send(1)
    wait(lambda: caller.lost, "the news")
    assert "does not answer" in str(caller.lost[0][1])


def test_a_full_queue_refuses_at_once(
    server: Server, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LIMIT_BYTES", 1 << 20)
    server.may_answer.clear()
    caller.send(1)
    wait(lambda: server.frames, "the first exchange")
    caller.send(2, value=bytes(1 << 20))
    caller.send(3, value=bytes(1 << 20))
    assert [(id, type(error)) for id, error in caller.lost] == [(3, Overloaded)]
    server.may_answer.set()
    wait(lambda: len(caller.replies) == 2, "the others' replies")


def test_what_was_asked_of_a_node_that_goes_is_lost_with_no_patience(
    server: Server, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 3600.0)
    server.may_answer.clear()
    caller.send(1)
    wait(lambda: server.frames, "the first exchange")
    caller.send(2)
    server.close()
    wait(lambda: len(caller.lost) == 2, "the news")
    assert {type(error) for _, error in caller.lost} == {Ended}
    assert not caller.link.up


def test_where_nothing_listens_is_known_with_no_patience_and_found_again(
    server: Server, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 3600.0)
    server.close()
    caller.send(1)
    wait(lambda: caller.lost, "the news")
    assert "nothing listens" in str(caller.lost[0][1])
    server.open()
    wait(lambda: caller.link.up, "the node that is back")
    caller.send(2)
    wait(lambda: caller.replies == [2], "its answer")


def test_a_node_that_has_started_again_between_two_exchanges_loses_nothing(
    server: Server, caller: Caller
) -> None:
    caller.send(1)
    wait(lambda: caller.replies == [1], "the answer")
    server.close()
    wait(lambda: caller.link._line and caller.link._line.gone, "the end of the connection")
    server.open()
    caller.send(2)
    wait(lambda: caller.replies == [1, 2], "the answer of its next life")
    assert caller.lost == []


def test_no_request_waits_for_a_node_that_is_silent_still(
    server: Server, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "SILENCE_S", 0.1)
    server.may_answer.clear()
    caller.send(1)
    wait(lambda: caller.lost, "the news")
    wait(lambda: len(server.frames) >= 3, "two more tries")
    assert server.frames[1:3] == [[], []]
    assert not caller.link.up
    assert type(caller.lost[0][1]) is Unreachable


def test_a_request_is_prepared_when_its_turn_comes_and_not_sent_if_nobody_waits_any_more(
    server: Server,
) -> None:
    prepared: list[int] = []

    def prepare(request: Envelope) -> Envelope | None:
        prepared.append(request.message.id)
        return None if request.message.id in (2, 4) else request

    caller = Caller(server.address, prepare)
    try:
        server.may_answer.clear()
        caller.send(1)
        wait(lambda: server.frames, "the first exchange")
        caller.send(2, 3)
        assert prepared == [1]
        assert [caller.link.holds_back(id) for id in (1, 2, 3)] == [False, True, True]
        server.may_answer.set()
        wait(lambda: caller.replies == [1, 3], "the replies")
        caller.send(4)
        wait(lambda: prepared == [1, 2, 3, 4], "the turn of the last one")
        assert server.frames == [[1], [3]]
        assert caller.lost == []
        assert caller.link.idle
    finally:
        caller.close()
