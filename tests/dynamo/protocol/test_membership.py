"""Who is up, in a node's own judgement (Dynamo paper, section 4.8.3)."""

from dynamo.protocol.messages import CopyStored, Lost, Ping, Pong
from tests.dynamo.protocol.bench import Bench, receivers


def test_all_are_up_until_one_leaves_a_request_unanswered() -> None:
    bench = Bench()
    assert bench.node.members.up == {"n1", "n2", "n3"}
    bench.hears(Lost(99), sender="n2")
    assert bench.node.members.up == {"n1", "n3"}


def test_whatever_is_heard_of_a_member_shows_that_it_is_up() -> None:
    bench = Bench()
    bench.hears(Lost(99), sender="n2")
    bench.hears(CopyStored(12345), sender="n2")
    assert bench.node.members.up == {"n1", "n2", "n3"}


def test_a_member_that_is_down_is_asked_again_and_again_until_it_answers() -> None:
    bench = Bench()
    bench.hears(Lost(99), sender="n2")
    assert bench.at(0.5) == []
    [first] = bench.at(1.0)
    [second] = bench.at(2.0)
    assert receivers([first, second]) == ["n2", "n2"]
    assert isinstance(first.message, Ping)
    bench.hears(Pong(second.message.id), sender="n2")
    assert bench.at(10.0) == []
    assert bench.node.next_wake() is None


def test_a_ping_is_answered() -> None:
    [answer] = Bench().hears(Ping(7), sender="n2")
    assert (answer.receiver, answer.message) == ("n2", Pong(7))


def test_strangers_and_the_node_itself_are_never_down() -> None:
    bench = Bench()
    bench.hears(Lost(99), sender="n1")
    bench.hears(Lost(99), sender="client")
    assert bench.node.members.up == {"n1", "n2", "n3"}
    assert bench.node.next_wake() is None
