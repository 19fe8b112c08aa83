"""A machine that can't be trusted either: the server's loop around one node, and its faults."""

from typing import Protocol

from dynamo.disk.contract import MemoryDisk
from dynamo.protocol.messages import Envelope, Put, PutMany, Request
from dynamo.protocol.node import Node, Step
from dynamo.protocol.view import View
from dynamo.simulation.network import Clock, Network, Note, Trace
from dynamo.simulation.plan import Plan

WRITES = (Put, PutMany)


class Surroundings(Protocol):
    """What a machine knows of its world."""

    plan: Plan
    clock: Clock
    network: Network
    trace: Trace

    @property
    def wall(self) -> float:
        """What a wall clock says that is right."""

    def make_node(self, name: str, disk: MemoryDisk, incarnation: int, read_only: str) -> Node:
        """A node on `disk`; `read_only` says why it may not write, if so."""

    def put_arrived(self, node: str, put: Put | PutMany) -> None:
        """`node` has been asked for a write."""

    def clock_set(self, node: str, error_s: float) -> None:
        """The wall clock of `node` is so far off from now on."""


class Machine:
    """One node with its disk, in the server's loop: step, commit, and only then send."""

    def __init__(self, name: str, world: Surroundings) -> None:
        self.name = name
        self.disk = MemoryDisk()
        self.commits = 0
        self.wall_error_s = 0.0
        """How far this machine's wall clock is off."""
        self._world = world
        self._clock = world.clock
        self._random = world.plan.stream(f"machine {name}")
        self._node: Node | None = None
        self._life = 0
        self._origin = 0.0
        self._inbox: list[Envelope] = []
        self._unanswered: dict[tuple[str, int], Envelope] = {}
        """Requests that came and have no answer yet, by sender and id."""
        self._committing: Step | None = None
        self._wake_at: float | None = None
        self._slow_s = 0.0
        self._late = False
        """True while a slow machine has not yet come to its next step."""
        self._paused = False
        self._committed_in_pause: Step | None = None
        self._full = False
        self._read_only = False
        self.buried = False
        """True once it has died for good."""

    @property
    def node(self) -> Node | None:
        """The node that runs here; None while none does."""
        return self._node

    @property
    def view(self) -> View | None:
        """What its node knows of the cluster; None while it does not run."""
        return self._node.view if self._node is not None else None

    def bury(self) -> None:
        """Die for good."""
        self.crash()
        self.buried = True
        self.note("is dead")

    def start(self) -> None:
        """Start the node on what its disk holds; no effect where it runs, or has died for good."""
        if self._node is None and not self.buried:
            self._origin = self._random.uniform(0.0, 1000.0)  # clocks of nodes don't agree
            self._make_node()
            self.note("starts")
            self._step()

    def draw_incarnation(self) -> int:
        return self._random.getrandbits(38)

    def crash(self) -> None:
        """Stop at once. A commit under way happens wholly or not at all; nothing is sent.

        Half of the crashes are losses of power, which take with them what was not synced.
        """
        if self._node is None:
            return
        committing = self._committing
        if committing is not None and not self._full and self._random.random() < 0.5:
            self.disk.commit(committing.writes, sync=committing.sync)
            self.note("crashes behind a commit")
        else:
            self.note("crashes in a commit" if committing else "crashes")
        if self._random.random() < 0.5:
            self.disk.crash()
        self._node = None
        self._inbox = []
        self._unanswered = {}
        self._paused = False
        self._forget()

    def pause(self) -> None:
        """Stand still, as with SIGSTOP: what arrives waits, and the disk ends what it does."""
        if self._node is not None:
            self._paused = True
            self.note("stands still")

    def resume(self) -> None:
        if not self._paused:
            return
        self._paused = False
        self.note("goes on")
        committed, self._committed_in_pause = self._committed_in_pause, None
        if committed is not None:
            self._committed(self._life, committed)
        else:
            self._step()

    def slow_down(self, slow_s: float) -> None:
        """From now on each step and each commit takes up to `slow_s` longer; 0.0 ends it."""
        self._slow_s = slow_s
        self.note(f"is up to {slow_s:.2f} s late with everything" if slow_s else "is in time again")

    def set_clock(self, error_s: float) -> None:
        """Set the wall clock wrong, or right with 0.0."""
        self.wall_error_s = error_s
        self._world.clock_set(self.name, error_s)
        self.note(f"has its clock set {error_s:+.0f} s off" if error_s else "has its clock right")

    def fill_disk(self) -> None:
        """From now on no commit succeeds."""
        self._full = True
        self.note("has a full disk")

    def free_disk(self) -> None:
        """There is room again, and the node writes again."""
        self._full = False
        self.note("has room on its disk again")
        if self._read_only and self._node is not None:
            self._start_again()

    def receive(self, envelope: Envelope) -> bool:
        if self._node is None:
            return False
        self._take_in(envelope)
        self._step_in_time()
        return True

    def _take_in(self, envelope: Envelope) -> None:
        message = envelope.message
        if isinstance(message, Request):
            self._unanswered[envelope.sender, message.id] = envelope
            if isinstance(message, WRITES):
                self._world.put_arrived(self.name, message)
        self._inbox.append(envelope)

    def _make_node(self) -> None:
        self._read_only = self._full
        read_only = "the disk is full" if self._full else ""
        incarnation = self.draw_incarnation()
        self._node = self._world.make_node(self.name, self.disk, incarnation, read_only)

    def _forget(self) -> None:
        """What the node's memory held is gone, and what was planned for it does not happen."""
        self._committing = self._wake_at = self._committed_in_pause = None
        self._late = False
        self._life += 1

    def _start_again(self) -> None:
        """The shell's way with a disk that refuses, or takes again: a new node in its place, which
        is asked all that has not been answered."""
        self._forget()
        self._make_node()
        self._inbox = []
        for envelope in list(self._unanswered.values()):
            self._take_in(envelope)
        self.note("begins anew, read-only" if self._read_only else "begins anew")
        self._step()

    def _step_in_time(self) -> None:
        if not self._slow_s:
            self._step()
        elif not self._late:
            self._late = True
            self._clock.after(self._slow_s * self._random.random(), self._step_late, self._life)

    def _step_late(self, life: int) -> None:
        if life == self._life:
            self._late = False
            self._step()

    def _step(self) -> None:
        if self._node is None or self._committing is not None or self._paused:
            return
        envelopes, self._inbox = self._inbox, []
        now = self._clock.now
        step = self._node.step(envelopes, now + self._origin, self._world.wall + self.wall_error_s)
        if step.writes:
            self.perform(step)
        else:
            self.send(step)
            self._plan_wake()

    def perform(self, step: Step) -> None:
        """Commit, which takes its time, then send; what arrives meanwhile waits."""
        self._committing = step
        slowest_s = self._world.plan.commit_s if step.sync else 0.001
        if step.sync and self._random.random() < 0.05:
            slowest_s = 0.3
        delay_s = (slowest_s + self._slow_s) * self._random.random()
        self._clock.after(delay_s, self._committed, self._life, step)

    def _committed(self, life: int, step: Step) -> None:
        if life != self._life:
            return
        if self._paused:
            self._committed_in_pause = step
            return
        if self._full:
            self._start_again()
            return
        self.disk.commit(step.writes, sync=step.sync)
        self.commits += 1
        self._committing = None
        self.send(step)
        if self._inbox:
            self._step()
        else:
            self._plan_wake()

    def send(self, step: Step) -> None:
        carry, unanswered = self._world.network.send, self._unanswered
        for envelope in step.envelopes:
            unanswered.pop((envelope.receiver, envelope.message.id), None)
            carry(envelope)

    def _plan_wake(self) -> None:
        """See to it that the node is stepped when it wants to be."""
        wake_at = self._node.next_wake() if self._node else None
        if wake_at is None or (self._wake_at is not None and self._wake_at <= wake_at):
            return
        self._wake_at = wake_at
        # A little later, lest rounding between the two clocks lets it wake too early for ever.
        delay_s = max(0.0, wake_at - self._origin - self._clock.now) + 1e-6
        self._clock.after(delay_s, self._wake, self._life, wake_at)

    def _wake(self, life: int, wake_at: float) -> None:
        if life == self._life and self._wake_at == wake_at:
            self._wake_at = None
            self._step_in_time()

    def note(self, text: str) -> None:
        self._world.trace.append(Note(self._clock.now, self.name, text))
