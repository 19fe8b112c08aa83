"""Orders that wait for a worker."""

import gevent

from mapreduce.cluster.mailbox import Mailbox
from mapreduce.cluster.messages import Orders
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.engine.orders import PhaseOrder, TaskOrder
from tests.mapreduce.specs import job_spec

PHASE = PhaseOrder(name="wc.1", spec=job_spec(), run="wc")


def order(number: int) -> TaskOrder:
    return TaskOrder(attempt=AttemptId(TaskId("wc.1", "map", 0), number))


def test_orders_are_given_once():
    box = Mailbox()
    box.run(PHASE, order(1))
    assert box.collect(0) == Orders(phases=(PHASE,), run=(order(1),))
    assert box.collect(0) == Orders()


def test_a_kill_takes_back_an_order_that_was_not_given():
    box = Mailbox()
    box.run(PHASE, order(1))
    box.kill(order(1).attempt)
    assert box.collect(0) == Orders()


def test_a_kill_follows_an_order_that_was_given():
    box = Mailbox()
    box.run(PHASE, order(1))
    box.collect(0)
    box.kill(order(1).attempt)
    assert box.collect(0) == Orders(kill=(order(1).attempt,))


def test_a_held_report_gets_orders_as_soon_as_they_come():
    box = Mailbox()
    held = gevent.spawn(box.collect, 5.0)
    gevent.idle()
    box.run(PHASE, order(1))
    assert held.get(timeout=1.0) == Orders(phases=(PHASE,), run=(order(1),))


def test_a_newer_report_gets_the_orders_and_the_older_is_let_go_at_once():
    box = Mailbox()
    older = gevent.spawn(box.collect, 5.0)
    gevent.idle()
    newer = gevent.spawn(box.collect, 5.0)
    gevent.idle()
    box.run(PHASE, order(1))
    assert older.get(timeout=1.0) == Orders()
    assert newer.get(timeout=1.0) == Orders(phases=(PHASE,), run=(order(1),))


def test_a_worker_is_told_to_drain_until_it_reports_that_it_does():
    mailbox = Mailbox()
    mailbox.drain(True)
    assert mailbox.drains(reported=False)  # a report that was on its way
    assert mailbox.collect(0).drain is True
    assert mailbox.collect(0).drain is True  # the answer before may have been lost
    assert mailbox.drains(reported=True)
    assert mailbox.collect(0).drain is None
    mailbox.drain(False)
    assert not mailbox.drains(reported=True)
    assert mailbox.collect(0).drain is False
    assert not mailbox.drains(reported=False)
    assert mailbox.collect(0).drain is None


def test_a_later_leader_believes_what_a_worker_reports_of_itself():
    assert Mailbox().drains(reported=True)
    assert not Mailbox().drains(reported=False)
