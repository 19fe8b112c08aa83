"""Masters that elect a leader: several in this process, on loopback."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.local_cluster import free_ports
from dynamo.errors import NodeFailed
from mapreduce.cluster.election import Election, Undecided
from mapreduce.errors import TermOver
from tests.waiting import wait_until


class Masters:
    """Members of an election, by name."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        names = [f"m{number}" for number in range(1, count + 1)]
        ports = free_ports(count)
        self.addresses = (
            {name: f"127.0.0.1:{port}" for name, port in zip(names, ports)}
            if count > 1
            else {"m1": ""}
        )
        self.alive: dict[str, Election] = {}

    def start(self, *names: str, on_change: Callable[[], None] = lambda: None) -> None:
        for name in names or self.addresses:
            self.alive[name] = Election(name, self.addresses, self._folder / name, on_change)

    def end(self, name: str) -> None:
        self.alive.pop(name).close()

    def leader(self) -> Election:
        """The one that leads, when there is one that leads and all others know it."""

        def is_settled() -> bool:
            standings = [one.standing for one in self.alive.values()]
            return (
                sum(s.term > 0 for s in standings) == 1 and len({s.leader for s in standings}) == 1
            )

        wait_until(is_settled, 10.0, "a leader")
        return next(one for one in self.alive.values() if one.standing.term)


@pytest.fixture
def masters(tmp_path):
    made = []

    def make(count: int) -> Masters:
        made.append(Masters(tmp_path, count))
        return made[-1]

    yield make
    for one in made:
        for name in list(one.alive):
            one.end(name)


def test_one_leads_and_another_follows_it_with_a_higher_term_and_all_decisions(masters):
    three = masters(3)
    three.start()
    first = three.leader()
    old = first.standing
    assert first.decide("commit:a", "1", old.term) == "1"
    three.end(old.leader)
    second = three.leader()
    assert second.standing.term > old.term
    assert second.decided == {"commit:a": "1"}
    assert second.decide("commit:a", "2", second.standing.term) == "1"
    three.start(old.leader)
    three.leader()  # all agree again
    wait_until(lambda: three.alive[old.leader].decided == second.decided, 5.0, "catching up")


def test_a_leader_that_resigns_is_followed_by_another_that_knows_all_it_did(masters):
    three = masters(3)
    three.start()
    first = three.leader()
    old = first.standing
    assert first.decide("commit:a", "1", old.term) == "1"
    first.resign()
    wait_until(lambda: not first.standing.term, 5.0, "its end")
    second = three.leader()
    assert second is not first and second.standing.term > old.term
    assert second.decided == {"commit:a": "1"}


def test_an_old_term_decides_nothing(masters):
    three = masters(3)
    three.start()
    leader = three.leader()
    old = leader.standing.term
    leader.raise_above(old + 10)
    wait_until(lambda: leader.standing.term > old, 5.0, "the new term")
    assert leader.standing.term == old + 11
    late = next(one for one in three.alive.values() if one is not leader)
    for call in (
        lambda: late.decide("a", "1", old),
        lambda: late.confirm(old),
        lambda: late.forget(["a"], old),
    ):
        with pytest.raises(TermOver, match=f"term {old} is over"):
            call()
    leader.confirm(leader.standing.term)
    assert leader.decided == {}


def test_without_a_majority_nobody_leads_and_nothing_is_decided(masters, monkeypatch):
    three = masters(3)
    three.start()
    leader = three.leader()
    term = leader.standing.term
    for name in three.addresses.keys() - {leader.standing.leader}:
        three.end(name)
    wait_until(lambda: not leader.standing.term, 5.0, "the end of its term")
    monkeypatch.setattr("mapreduce.cluster.election.DECISION_TIMEOUT_S", 0.2)
    with pytest.raises(Undecided, match="no majority"):
        leader.decide("a", "1", term)


def test_a_master_alone_leads_and_remembers_when_it_is_started_again(masters):
    alone = masters(1)
    terms = []
    for _ in range(3):
        alone.start()
        leader = alone.leader()
        terms.append(leader.standing.term)
        assert leader.decide("a", f"by {terms[-1]}", terms[-1]) == f"by {terms[0]}"
        alone.end("m1")
    assert terms == sorted(set(terms))


def test_what_is_forgotten_may_be_decided_anew(masters):
    alone = masters(1)
    alone.start()
    leader = alone.leader()
    term = leader.standing.term
    leader.decide("a", "1", term)
    leader.forget(["a", "b"], term)
    assert leader.decide("a", "2", term) == "2"


def test_changes_are_told(masters):
    alone = masters(1)
    changes: list[None] = []
    alone.start(on_change=lambda: changes.append(None))
    alone.leader()
    assert changes


def test_it_listens_on_loopback_only_and_a_port_in_use_is_one_clear_line(masters, tmp_path):
    three = masters(3)
    three.start("m1")
    port = int(three.addresses["m1"].rpartition(":")[2])
    socket.create_connection(("127.0.0.1", port)).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port))
    with pytest.raises(NodeFailed, match=r"m1 can't listen on 127\.0\.0\.1:\d+ for the"):
        Election("m1", three.addresses, tmp_path / "other")
