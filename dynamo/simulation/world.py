"""The virtual world: a clock, a network that can't be trusted, machines that crash.

Time passes only from one event to the next, so an hour costs what happens in it. All chance comes
from generators made of the seed; nothing depends on the order of a set or on an address in memory.
"""

import heapq
from collections.abc import Callable
from itertools import count
from random import Random
from typing import Any, NamedTuple

from dynamo.disk.contract import MemoryDisk
from dynamo.protocol.messages import Envelope, Lost, Put, PutMany, Request
from dynamo.protocol.node import Node, Step
from dynamo.simulation.history import History
from dynamo.simulation.plan import Plan, stream
from dynamo.values.cluster import found

PARTITIONS = 8
EVENT_LIMIT = 500_000
"""Far above what a run needs: past it the world never comes to rest, which is a bug."""


class Passage(NamedTuple):
    """An envelope on its way. `fate` is "" if it arrived, else why it did not."""

    sent_at: float
    ended_at: float
    envelope: Envelope
    fate: str


class Note(NamedTuple):
    """Something that happened to one machine."""

    at: float
    name: str
    text: str


Trace = list[Passage | Note]
"""Everything that happened, in order of time."""


class Clock:
    """Virtual time in seconds, and what is to happen when."""

    def __init__(self) -> None:
        self.now = 0.0
        self._order = count()
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []

    def after(self, delay_s: float, action: Callable[..., object], *arguments: Any) -> None:
        event = (self.now + delay_s, next(self._order), action, arguments)
        heapq.heappush(self._events, event)

    def run(self) -> None:
        """Let time pass until nothing more is to happen."""
        events = self._events
        for _ in range(EVENT_LIMIT):
            if not events:
                return
            self.now, _order, action, arguments = heapq.heappop(events)
            action(*arguments)
        raise RuntimeError(f"after {EVENT_LIMIT:,} events the world has not come to rest")


class Network:
    """Carries envelopes: late, twice, in any order, or never."""

    def __init__(self, clock: Clock, plan: Plan, trace: Trace) -> None:
        self.receivers: dict[str, Callable[[Envelope], bool]] = {}
        """Address -> who takes in an envelope; it says False if nobody is there."""
        self.calm = False
        """True once nothing goes wrong any more."""
        self.cut_off: dict[str, int] = {}
        """How many cuts separate a node from all others just now."""
        self._clock = clock
        self._plan = plan
        self._trace = trace
        self._nodes = frozenset(plan.node_names)
        self._random = stream(plan.seed, "network")

    def send(self, envelope: Envelope) -> None:
        plan, chance = self._plan, self._random.random
        cut_off = self.cut_off
        if cut_off and (cut_off.get(envelope.sender) or cut_off.get(envelope.receiver)):
            self._end(self._clock.now, envelope, "cut off")
        elif not self.calm and chance() < plan.loss:
            self._end(self._clock.now, envelope, "lost")
        else:
            self._carry(envelope)
            if not self.calm and chance() < plan.duplication:
                self._carry(envelope)

    def _carry(self, envelope: Envelope) -> None:
        chance = self._random.random
        delay_s = 0.0005 + 0.004 * chance()
        if not self.calm and chance() < self._plan.slow:
            delay_s += self._plan.slow_s * chance()
        self._clock.after(delay_s, self._arrive, self._clock.now, envelope)

    def _arrive(self, sent_at: float, envelope: Envelope) -> None:
        # Noted before it is taken in: what the receiver does in answer comes behind it.
        place = len(self._trace)
        self._end(sent_at, envelope, "")
        if not self.receivers[envelope.receiver](envelope):
            self._trace[place] = Passage(sent_at, self._clock.now, envelope, "nobody there")
            told = self._random.random() < self._plan.resets
            if told and envelope.sender in self._nodes and isinstance(envelope.message, Request):
                lost = envelope.reply(Lost(envelope.message.id))
                self._clock.after(0.001, self.receivers[envelope.sender], lost)

    def _end(self, sent_at: float, envelope: Envelope, fate: str) -> None:
        self._trace.append(Passage(sent_at, self._clock.now, envelope, fate))


class Machine:
    """One node with its disk, in the server's loop: step, commit, and only then send."""

    def __init__(self, name: str, world: "World") -> None:
        self.name = name
        self.disk = MemoryDisk()
        self.commits = 0
        self._world = world
        self._clock = world.clock
        self._random = stream(world.plan.seed, f"machine {name}")
        self._node: Node | None = None
        self._life = 0
        self._origin = 0.0
        self._inbox: list[Envelope] = []
        self._committing: Step | None = None
        self._wake_at: float | None = None

    def start(self) -> None:
        """Start the node on what its disk holds; no effect where it runs."""
        if self._node is None:
            self._origin = self._random.uniform(0.0, 1000.0)  # clocks of nodes don't agree
            self._node = self._world.make_node(self.name, self.disk, self.draw_incarnation())
            self._note("starts")

    def draw_incarnation(self) -> int:
        return self._random.getrandbits(38)

    def crash(self) -> None:
        """Stop at once. A commit under way happens wholly or not at all; nothing is sent.

        Half of the crashes are losses of power, which take with them what was not synced.
        """
        if self._node is None:
            return
        committing = self._committing
        if committing is not None and self._random.random() < 0.5:
            self.disk.commit(committing.writes, sync=committing.sync)
            self._note("crashes behind a commit")
        else:
            self._note("crashes in a commit" if committing else "crashes")
        if self._random.random() < 0.5:
            self.disk.crash()
        self._node = self._committing = self._wake_at = None
        self._inbox = []
        self._life += 1

    def receive(self, envelope: Envelope) -> bool:
        if self._node is None:
            return False
        if isinstance(envelope.message, Put | PutMany):
            self._world.put_arrived(self.name, envelope.message)
        self._inbox.append(envelope)
        self._step()
        return True

    def _step(self) -> None:
        if self._node is None or self._committing is not None:
            return
        envelopes, self._inbox = self._inbox, []
        step = self._node.step(envelopes, self._clock.now + self._origin, self._clock.now)
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
        self._clock.after(slowest_s * self._random.random(), self._committed, self._life, step)

    def _committed(self, life: int, step: Step) -> None:
        if life != self._life:
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
        for envelope in step.envelopes:
            self._world.network.send(envelope)

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
            self._step()

    def _note(self, text: str) -> None:
        self._world.trace.append(Note(self._clock.now, self.name, text))


NodeMaker = Callable[..., Node]
"""Called as `Node` is; a test puts a broken one here."""


class World:
    """Clock, network and machines of one plan; clients are added by the workload."""

    def __init__(
        self, plan: Plan, node_type: NodeMaker = Node, machine_type: type[Machine] = Machine
    ) -> None:
        self.plan = plan
        self.clock = Clock()
        self.trace: Trace = []
        self.history = History()
        self.network = Network(self.clock, plan, self.trace)
        names = plan.node_names
        self.founding = found({name: name for name in names}, PARTITIONS, plan.settings.n)
        self.ring = self.founding.table.reading
        self._node_type = node_type
        self.machines = {name: machine_type(name, self) for name in names}
        for name, machine in self.machines.items():
            self.network.receivers[name] = machine.receive
            machine.start()
        self._plan_faults(stream(plan.seed, "faults"))

    def make_node(self, name: str, disk: MemoryDisk, incarnation: int) -> Node:
        return self._node_type(name, self.founding, self.plan.settings, disk, incarnation)

    def put_arrived(self, node: str, put: Put | PutMany) -> None:
        if node in self.owners(put.key):
            self.history.count_delivery(put)

    def owners(self, key: str) -> tuple[str, ...]:
        return self.ring.preference_list(key, self.plan.settings.n)

    def calm_down(self) -> None:
        """From now on nothing goes wrong, and every machine runs."""
        self.network.calm = True
        self.network.cut_off.clear()
        for machine in self.machines.values():
            machine.start()

    def _plan_faults(self, random: Random) -> None:
        names, until_s = self.plan.node_names, self.plan.faults_last_s
        for _ in range(self.plan.crashes):
            machine = self.machines[random.choice(names)]
            at_s, down_s = random.uniform(0, until_s), random.choice((0.02, 0.2, 1.0))
            self.clock.after(at_s, self._crash, machine)
            self.clock.after(at_s + down_s * random.random(), machine.start)
        for _ in range(self.plan.outages):
            machine, at_s = self.machines[random.choice(names)], random.uniform(0, until_s)
            self.clock.after(at_s, self._crash, machine)
            self.clock.after(at_s + random.uniform(1.0, 3.0), machine.start)
        for _ in range(self.plan.blackouts):
            at_s = random.uniform(0, until_s)
            for machine in self.machines.values():
                self.clock.after(at_s, self._crash, machine)
                self.clock.after(at_s + random.random(), machine.start)
        for _ in range(self.plan.cuts):
            name, at_s = random.choice(names), random.uniform(0, until_s)
            self.clock.after(at_s, self._cut, name, 1)
            self.clock.after(at_s + random.uniform(0.2, 1.0), self._cut, name, -1)

    def _crash(self, machine: Machine) -> None:
        self.history.crashed_at.append(self.clock.now)
        machine.crash()

    def _cut(self, name: str, change: int) -> None:
        self.network.cut_off[name] = self.network.cut_off.get(name, 0) + change
        if not self.network.cut_off[name]:
            del self.network.cut_off[name]
        self.trace.append(Note(self.clock.now, name, "cut off" if change > 0 else "reached again"))
