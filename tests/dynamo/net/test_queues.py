"""Bounded queues and sessions: nothing grows without end, and every refusal is told."""

import gevent
import pytest

from dynamo.net import queue, wire
from dynamo.net.measures import Measures
from dynamo.net.queue import EnvelopeQueue
from dynamo.net.session import Session
from dynamo.net.wire import Connection
from dynamo.protocol.messages import CopyStored, Envelope, Failed, Failure, GetDone, Put
from dynamo.values import versions


def put(id: int, size_bytes: int = 0) -> Envelope:
    return Envelope("client", "n1", Put(id, "key", bytes(size_bytes), None, 0.0))


def test_a_queue_gives_in_order_and_up_to_the_limit_but_at_least_one() -> None:
    filled = EnvelopeQueue()
    assert filled.put([put(1, 5000), put(2, 5000), put(3, 5000)])
    assert [e.message.id for e in filled.take(2 * (5000 + wire.ENVELOPE_BYTES))] == [1, 2]
    assert [e.message.id for e in filled.take(1)] == [3]
    assert filled.take(1) == []
    assert filled.bytes == 0


def test_a_full_queue_refuses_a_batch_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "LIMIT_BYTES", 10 * wire.ENVELOPE_BYTES)
    filled = EnvelopeQueue()
    assert filled.put([put(id) for id in range(8)])
    assert not filled.put([put(8), put(9), put(10)])
    assert len(filled) == 8
    assert filled.put([put(8), put(9)])


def test_a_batch_larger_than_the_limit_is_taken_by_an_empty_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queue, "LIMIT_BYTES", wire.ENVELOPE_BYTES)
    assert EnvelopeQueue().put([put(1), put(2)])


def test_a_session_is_settled_when_all_is_answered() -> None:
    session = Session(Measures(0.0), of_client=True)
    session.expect([put(1), put(2)])
    session.answer(put(1).reply(CopyStored(1)))
    assert (session.open, session.idle) == (1, False)
    session.answer(put(2).reply(CopyStored(2)))
    assert [e.message.id for e in session.collect(hold_s=60.0)] == [1, 2]
    assert session.idle


def test_an_exchange_that_was_given_up_takes_no_answers_from_the_one_after_it() -> None:
    session = Session(Measures(0.0), of_client=True)
    old, new, restarted = Connection(7, 1), Connection(7, 2), Connection(3, 1)
    session.expect([put(1)])
    given_up = gevent.spawn(session.collect, 60.0, old)
    gevent.sleep(0)
    session.expect([put(2)])
    current = gevent.spawn(session.collect, 60.0, new)
    gevent.sleep(0)
    for id in (1, 2):
        session.answer(put(id).reply(CopyStored(id)))
    assert given_up.get(timeout=5) == []
    assert [e.message.id for e in current.get(timeout=5)] == [1, 2]
    session.expect([put(3)])
    session.answer(put(3).reply(CopyStored(3)))
    assert session.collect(0.0, old) == []  # it can come to be read after the new one, too
    assert [e.message.id for e in session.collect(0.0, restarted)] == [3]


def test_a_session_without_room_answers_overloaded_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue, "LIMIT_BYTES", 1 << 20)
    session = Session(Measures(0.0), of_client=True)
    session.expect([put(1), put(2)])
    big = versions.update(versions.EMPTY, None, "a", bytes(1 << 20), 0.0)
    for id in (1, 2):
        session.answer(Envelope("n1", "client", GetDone(id, big, ("n1",))))
    refused, done = (e.message for e in session.collect(hold_s=0.0))
    assert isinstance(done, GetDone)
    assert isinstance(refused, Failed)
    assert refused.reason is Failure.OVERLOADED


def test_what_is_forced_in_comes_first_in_its_order_and_the_wait_is_that_of_the_first() -> None:
    filled = EnvelopeQueue()
    assert filled.waiting_s == 0.0
    assert filled.put([put(1)])
    gevent.sleep(0.01)
    waited_s = filled.waiting_s
    assert waited_s > 0.0
    filled.force([put(2), put(3)])
    assert filled.waiting_s < waited_s
    assert [e.message.id for e in filled.take(1 << 20)] == [2, 3, 1]
    assert filled.bytes == 0
