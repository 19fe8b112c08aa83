"""Which master leads, and what is decided once and for all: Raft, through pysyncobj.

The masters of a cluster replicate three things: the present **term**, which each new leader raises,
the name of who raised it, and **decisions**. A decision is a key and its value: the first value
that is decided for a key stands, whoever asks later, and nothing is decided for a term that is
over. So a master that was stopped in the middle of something learns that it is too late.

A master that is alone takes part in the same way, in an election of one: its terms and decisions
outlive a restart. Everything is kept in the master's folder: `raft.journal` and `raft.dump`.

pysyncobj runs a thread of its own; the methods here may be called from any thread but that one.
It sends pickles, and so listens on loopback addresses, or in a network that is trusted. See Ongaro
and Ousterhout, "In search of an understandable consensus algorithm".
"""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pysyncobj import SyncObj, SyncObjConf, SyncObjConsumer, SyncObjException, replicated
from pysyncobj.config import FAIL_REASON
from pysyncobj.node import Node, TCPNode
from pysyncobj.transport import TCPTransport, Transport

from dynamo.errors import DynamoError, NodeFailed
from mapreduce.errors import TermOver

HEARTBEAT_S = 0.1
TIMEOUT_S = (0.6, 1.2)
"""A master that has heard nothing of a leader for so long, at random, wants to lead itself."""
LEADER_LIVES_S = 0.4
"""A master that has heard of a leader within this time votes for no other. Less than the others
wait at least before they want to lead: who is dead is not waited for."""
MAJORITY_LOST_S = 1.0
"""A leader that has heard of no majority for so long leads no more."""
DECISION_TIMEOUT_S = 3.0
RESIGN_S = 10.0
"""A leader that can't reach the store for so long lets another one lead, which may reach it."""


class Standing(NamedTuple):
    """What a master knows of who leads. `term` is 0 while it does not lead itself."""

    term: int = 0
    leader: str = ""
    """The name of the master that leads, "" if that is not known."""


class Undecided(DynamoError):
    """The masters could not agree in time; whether it was decided is open. Asking again is safe."""


class Election:
    """The part of the master `name` in the election among `members` (name -> host:port).

    `on_change` is called in another thread whenever `standing` has changed. Raises `NodeFailed` if
    its port or its folder can't be used.
    """

    def __init__(
        self,
        name: str,
        members: Mapping[str, str],
        folder: Path,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._names = {address: member for member, address in members.items()}
        self._on_change = on_change
        self._term = 0
        self._floor = 0
        self._is_raising = False
        self._resigns = False
        self._standing = Standing()
        self._looked_at = time.monotonic()
        self._decisions = _Decisions()
        logging.getLogger("pysyncobj").setLevel(logging.CRITICAL)  # what goes wrong is raised here
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._raft = _raft(name, members, folder, self._decisions)
        except OSError as error:
            raise NodeFailed(f"master {name} can't use its folder {folder}: {error}") from error
        try:
            self._raft.waitBinded()
        except SyncObjException as error:
            self._raft._doDestroy()
            raise NodeFailed(
                f"master {name} can't listen on {members[name]} for the election; stop what uses "
                "the port, or give the master another `election` in cluster.ini"
            ) from error
        self._raft.addOnTickCallback(self._look)

    def close(self) -> None:
        """Take part no more; the others elect another leader."""
        self._raft.removeOnTickCallback(self._look)
        self._raft.destroy_synchronous()

    @property
    def standing(self) -> Standing:
        """Whether this master leads, and since which term, or who else does."""
        return self._standing

    @property
    def stood_still(self) -> bool:
        """True if the process has stood still for so long that another may lead by now; until it
        has heard of the others."""
        return time.monotonic() - self._looked_at > MAJORITY_LOST_S

    @property
    def decided(self) -> dict[str, str]:
        """All decisions. A leader sees those of all terms before its own."""
        return dict(self._decisions.decided)

    def decide(self, key: str, value: str, term: int) -> str:
        """Decide `value` for `key`, unless a value has been decided before; returns what stands.

        Raises `TermOver` if a newer term than `term` has begun, else `Undecided` if no majority of
        the masters has answered in time.
        """
        found = self._ask(self._decisions.decide, key, value, term)
        if found is None:
            raise TermOver(term)
        return str(found)

    def confirm(self, term: int) -> None:
        """Return if no newer term had begun before this call; raises like `decide`."""
        if not self._ask(self._decisions.is_present, term):
            raise TermOver(term)

    def forget(self, keys: Iterable[str], term: int) -> None:
        """Drop decisions that nobody will ask for any more. Raises like `decide`."""
        if not self._ask(self._decisions.forget, list(keys), term):
            raise TermOver(term)

    def raise_above(self, term: int) -> None:
        """Begin a new term, higher than one that was found where terms are noted: the masters'
        folders are older than that, or lost."""
        self._floor = max(self._floor, term + 1)
        self._term = 0

    def resign(self) -> None:
        """Let another master lead, if one is there that knows all this one does."""
        self._resigns = True

    def _ask(self, replicated_call: Callable[..., Any], *args: object) -> Any:
        answered = threading.Event()
        answers: list[tuple[Any, int]] = []

        def on_answer(result: Any, error: int) -> None:
            answers.append((result, error))
            answered.set()

        replicated_call(*args, callback=on_answer)
        if not answered.wait(DECISION_TIMEOUT_S):
            raise Undecided(f"no majority of the masters has answered in {DECISION_TIMEOUT_S:g} s")
        result, error = answers[0]
        if error != FAIL_REASON.SUCCESS:
            raise Undecided(f"the leader has changed, or the masters are busy (reason {error})")
        return result

    # In pysyncobj's thread -----------------------------------------------------------------------

    def _look(self) -> None:
        """See what has become of the leadership, at every step of the protocol."""
        self._looked_at = time.monotonic()
        if self._resigns:
            self._resigns = False
            self._raft.transferLeadership()
        leads = self._term > 0 and self._decisions.term == self._term
        if not self._raft._isLeader():
            self._term, self._is_raising, leads = 0, False, False
        elif not leads and not self._is_raising:
            self._is_raising = True
            self._decisions.raise_term(self._name, self._floor, callback=self._raised)
        standing = Standing(self._term, self._name) if leads else Standing(0, self._leader())
        if standing != self._standing:
            self._standing = standing
            self._on_change()

    def _raised(self, term: int | None, error: int) -> None:
        self._is_raising = False
        if error == FAIL_REASON.SUCCESS and term is not None and term >= self._floor:
            self._term = term

    def _leader(self) -> str:
        """Who else leads, as far as is known here."""
        leader = self._raft._getLeader()
        name = "" if leader is None else self._names.get(leader.id, "")
        return "" if name == self._name else name


class _Decisions(SyncObjConsumer):  # type: ignore[misc]
    """What the masters replicate. Its methods run at every master, in the same order."""

    def __init__(self) -> None:
        super().__init__()
        self.term = 0
        self.leader = ""
        self.decided: dict[str, str] = {}

    @replicated  # type: ignore[untyped-decorator]
    def raise_term(self, leader: str, at_least: int) -> int:
        self.term = max(self.term + 1, at_least)
        self.leader = leader
        return self.term

    @replicated  # type: ignore[untyped-decorator]
    def is_present(self, term: int) -> bool:
        return term >= self.term

    @replicated  # type: ignore[untyped-decorator]
    def decide(self, key: str, value: str, term: int) -> str | None:
        return self.decided.setdefault(key, value) if term >= self.term else None

    @replicated  # type: ignore[untyped-decorator]
    def forget(self, keys: list[str], term: int) -> bool:
        if term < self.term:
            return False
        for key in keys:
            self.decided.pop(key, None)
        return True


class _Steady(TCPTransport):  # type: ignore[misc]
    """The network of several masters. One that hears a leader gives its vote to no other.

    Where two masters don't reach each other and all others reach both, the one that can't hear the
    leader wants to lead itself, again and again. With the votes of the others it would, and soon
    lose them to the first; so the lead would go to and fro. (Ongaro, "Consensus: bridging theory
    and practice", section 4.2.3. The leader itself hears every candidate: one that comes back with
    a newer term must not be left out for ever.)
    """

    def __init__(self, *given: object) -> None:
        super().__init__(*given)
        self._leader: Node | None = None
        self._heard_at = -math.inf

    def _onMessageReceived(self, node: Node, message: Any) -> None:  # noqa: N802, theirs
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == "append_entries":
            self._leader, self._heard_at = node, time.monotonic()
        leader_lives = time.monotonic() - self._heard_at < LEADER_LIVES_S
        if kind != "request_vote" or node == self._leader or not leader_lives:
            super()._onMessageReceived(node, message)


class _Alone(Transport):  # type: ignore[misc]
    """The network of a master that has no others."""

    def send(self, node: Node, message: object) -> bool:
        return False


def _raft(name: str, members: Mapping[str, str], folder: Path, decisions: _Decisions) -> SyncObj:
    address = members[name]
    others = [TCPNode(member) for member in members.values() if member != address]
    alone = not others
    conf = SyncObjConf(
        autoTickPeriod=0.01 if alone else 0.05,
        appendEntriesPeriod=0.03 if alone else HEARTBEAT_S,
        raftMinTimeout=0.1 if alone else TIMEOUT_S[0],
        raftMaxTimeout=0.15 if alone else TIMEOUT_S[1],
        leaderFallbackTimeout=MAJORITY_LOST_S,
        connectionTimeout=2.0,
        connectionRetryTime=0.2,
        appendEntriesUseBatch=False,  # a decision does not wait for the next heartbeat
        bindAddress=address or None,  # else it would listen on all interfaces
        maxBindRetries=1,
        journalFile=str(folder / "raft.journal"),
        fullDumpFile=str(folder / "raft.dump"),
        useFork=False,
    )
    return SyncObj(
        Node(name) if alone else TCPNode(address),
        others,
        conf,
        consumers=[decisions],
        transportClass=_Alone if alone else _Steady,
    )
