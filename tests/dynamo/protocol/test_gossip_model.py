"""A model of ring changes: real `Gossiper`s over a network that loses, reorders and repeats, driven
by chance, and one key whose copies are counted by hand.

What must hold at any moment, for the views that nodes have just then: a write acknowledged by the
view of one is met by a read through that of any other. Where a fill has had to do with it, the data
itself tells: no read of R copies misses an acknowledged write.
"""

from collections.abc import Iterable
from functools import cache
from itertools import combinations, count
from random import Random

import pytest

from dynamo.disk.contract import MemoryDisk
from dynamo.disk.staging import Staging
from dynamo.protocol.gossip import Gossiper, load
from dynamo.protocol.membership import Membership
from dynamo.protocol.messages import ClearPlan, CommitPlan, Envelope, Failed, StageChange
from dynamo.protocol.settings import Settings
from dynamo.protocol.view import View
from dynamo.values.cluster import Change, Kind, Phase, found
from dynamo.values.ring import Ring

N, R, W = 3, 2, 2
PARTITIONS = 8
PARTITION = 0
"""The one whose copies are counted."""
SETTINGS = Settings(n=N, r=R, w=W, gossip_s=1.0)


@cache
def read_that_misses(reading: Ring, writing: tuple[Ring, ...]) -> set[str] | None:
    """Nodes that make up a read quorum, where a write quorum of each ring has none of them."""
    for partition in range(PARTITIONS):
        lists = [ring.partition_owners(partition, N) for ring in writing]
        owners = reading.partition_owners(partition, N)
        for read in combinations(owners, min(R, len(owners))):
            if all(len({*owners} - {*read}) >= min(W, len(owners)) for owners in lists):
                return {*read}
    return None


class Node:
    """A gossiper, its disk, and its copy of the one partition: the writes that it holds."""

    def __init__(self, name: str, names: Iterable[str], random: Random) -> None:
        self.name = name
        self.random = random
        self.founding = found({name: f"{name}:1" for name in names}, PARTITIONS, N)
        self.disk = MemoryDisk()
        self.held: set[int] = set()
        self.filling: set[int] = set()
        self.running = False
        self.start(0.0)

    def start(self, now: float) -> None:
        self.running = True
        staging = self.staging = Staging(self.disk)
        self.view = View(self.name, load(staging) or self.founding)
        ids, life = count(1).__next__, self.random.getrandbits(38)
        members = Membership(self.name, self.view.members, SETTINGS, ids)
        self.gossip = Gossiper(
            self.view,
            staging,
            members,
            SETTINGS,
            ids,
            f"{self.name}:1",
            life,
            begin_fill=self.filling.update,
            filling=lambda: self.filling,
            has_old_copies=lambda: False,
        )
        self.step([], now)

    def step(self, envelopes: Iterable[Envelope], now: float) -> list[Envelope]:
        sent: list[Envelope] = []
        for envelope in envelopes:
            removed = envelope.sender in self.view.table.removed
            if not removed or type(envelope.message).__name__ == "Gossip":
                message, gossip = envelope.message, self.gossip
                sent += gossip.handlers.get(type(message), gossip.on_reply)(envelope, now)
        sent += self.gossip.tick(now)
        writes, sync = self.staging.take()
        self.disk.commit(writes, sync=sync)
        return sent

    @property
    def coordinates(self) -> bool:
        """A node does so only where it owns what is read; all others pass requests on."""
        return self.running and self.gossip.settled and self.name in self.view.ring.members

    @property
    def is_whole(self) -> bool:
        return PARTITION not in self.filling and self.running


class World:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now = 0.0
        first, self.spare = ["n1", "n2", "n3", "n4"], ["n5", "n6", "n7"]
        self.nodes = {name: Node(name, first, self.random) for name in first}
        self.under_way: list[Envelope] = []
        self.acknowledged: set[int] = set()
        self.next_write = count(1)
        self.in_flight: list[tuple[str, int, set[str]]] = []
        self.dead: set[str] = set()
        """Removed by an operator. None of them is ever started again."""
        self.epochs = 0
        self.story: list[str] = []

    # What happens --------------------------------------------------------------------------------

    def some_event(self) -> None:
        events = [
            (30, self.deliver),
            (6, self.pass_time),
            (4, self.begin_write),
            (10, self.store),
            (5, self.fill),
            (2, self.change),
            (2, self.depart),
            (0.3, self.crash),
            (1, self.restart),
            (2, self.lose),
            (2, self.repeat),
        ]
        weights = [weight for weight, _ in events]
        self.random.choices([event for _, event in events], weights)[0]()

    def deliver(self) -> None:
        if self.under_way:
            place = self.random.randrange(len(self.under_way))
            envelope = self.under_way.pop(place)
            self.step(envelope.receiver, envelope)

    def lose(self) -> None:
        if self.under_way:
            self.under_way.pop(self.random.randrange(len(self.under_way)))

    def repeat(self) -> None:
        if self.under_way:
            self.under_way.append(self.random.choice(self.under_way))

    def pass_time(self) -> None:
        self.now += self.random.choice([0.05, 0.3, 1.1])
        for name in list(self.nodes):
            self.step(name)

    def step(self, name: str, *envelopes: Envelope) -> list[Envelope]:
        node = self.nodes.get(name)
        if node is None or not node.running:
            return []
        rank = node.view.table.rank
        sent = node.step(envelopes, self.now)
        if node.view.table.rank != rank:
            self.story.append(f"{name}: {rank} -> {node.view.table.phase} {node.view.table.rank}")
        self.under_way += [e for e in sent if e.receiver != "operator"]
        return [e for e in sent if e.receiver == "operator"]

    def crash(self) -> None:
        running = [node for node in self.live() if node.running]
        if len(running) == len(self.live()):
            self.random.choice(running).running = False

    def restart(self) -> None:
        for node in self.live():
            if not node.running:
                node.start(self.now)

    def live(self) -> list[Node]:
        return [node for name, node in self.nodes.items() if name not in self.dead]

    # Changes -------------------------------------------------------------------------------------

    def change(self) -> None:
        """An operator stages something at one or two nodes, and commits it there."""
        askable = [n for n in self.live() if n.running and n.gossip.settled]
        for node in self.random.sample(askable, min(len(askable), self.random.choice([1, 1, 2]))):
            change = self.some_change(node)
            staged = self.ask(node, StageChange(1, change))
            if not staged:
                self.ask(node, ClearPlan(1))
                continue
            self.story.append(f"{change} staged at {node.name}")
            if not self.ask(node, CommitPlan(1, node.view.table.rank)):
                continue
            self.story.append(f"{change} committed at {node.name}")
            if change.kind is Kind.REMOVE:
                self.bury(change.node)

    def remove_again(self) -> None:
        """The operator finds that a removal was lost to a change committed at the same time."""
        for node in self.live():
            for name in self.dead & {*node.view.members}:
                self.ask(node, ClearPlan(1))
                if self.ask(node, StageChange(1, Change(Kind.REMOVE, name))):
                    self.ask(node, CommitPlan(1, node.view.table.rank))

    def depart(self) -> None:
        """A node that was leaving, and owns nothing any more, says so."""
        for node in self.live():
            table, name = node.view.table, node.name
            if name in table.leaving and name not in (*table.owners, *table.target):
                node.gossip.depart(self.now)
                self.step(name)

    def some_change(self, node: Node) -> Change:
        members = node.view.table.members
        some, spare = self.random.choice(members), self.random.choice(self.spare)
        kind = self.random.choice([Kind.JOIN, Kind.LEAVE, Kind.REPLACE, Kind.REMOVE])
        joins = {Kind.JOIN: "", Kind.REPLACE: spare}.get(kind)
        if kind is Kind.REMOVE and (self.dead or len(members) <= N):
            kind = Kind.JOIN  # a second loss may be one too many
        if kind is Kind.JOIN:
            self.ready(spare)
            return Change(kind, spare, address=f"{spare}:1")
        if kind is Kind.REPLACE:
            self.ready(spare)
            return Change(kind, some, by=spare, address=f"{spare}:1")
        assert joins is None
        return Change(kind, some)

    def ready(self, name: str) -> None:
        """A node that is to join is running before it does."""
        if name not in self.nodes:
            self.nodes[name] = Node(name, ["n1", "n2", "n3", "n4", name], self.random)

    def bury(self, name: str) -> None:
        self.dead.add(name)
        self.nodes[name].running = False

    def ask(self, node: Node, message: StageChange | ClearPlan | CommitPlan) -> bool:
        answers = self.step(node.name, Envelope("operator", node.name, message))
        return answers != [] and not isinstance(answers[0].message, Failed)

    # Writes and fills ----------------------------------------------------------------------------

    def begin_write(self) -> None:
        node = self.random.choice(self.live())
        if node.coordinates:
            self.in_flight.append((node.name, next(self.next_write), set()))

    def store(self) -> None:
        """One node stores a write, or one is acknowledged by what its coordinator sees now."""
        if not self.in_flight:
            return
        place = self.random.randrange(len(self.in_flight))
        name, write, stored = self.in_flight[place]
        view = self.nodes[name].view
        lists = [ring.partition_owners(PARTITION, N) for ring in view.rings]
        if not self.nodes[name].coordinates:
            del self.in_flight[place]
            return
        taker = self.random.choice([owner for owners in lists for owner in owners])
        node = self.nodes[taker]
        if node.running and name not in node.view.table.removed:
            node.held.add(write)
            if taker in view.members:
                stored.add(taker)
        if all(len(stored & {*owners}) >= min(W, len(owners)) for owners in lists):
            self.acknowledged.add(write)
            del self.in_flight[place]

    def fill(self) -> None:
        """A node that fills does so from as many owners as meet every write quorum."""
        for node in self.live():
            if node.running and PARTITION in node.filling:
                self.fill_from_others(node)
            elif node.running:
                node.filling.clear()

    def fill_from_others(self, node: Node) -> None:
        owners = node.view.ring.partition_owners(PARTITION, N)
        others = [o for o in owners if o != node.name and o not in node.view.table.dead]
        whole = [o for o in others if self.nodes[o].is_whole and self.answers(o, node.name)]
        needed = min(len(others), len(owners) - min(W, len(owners)) + 1)
        if len(whole) >= needed:
            for other in self.random.sample(whole, needed):
                node.held |= self.nodes[other].held
            node.filling.clear()

    def answers(self, other: str, asker: str) -> bool:
        return asker not in self.nodes[other].view.table.removed

    # What must hold ------------------------------------------------------------------------------

    def check(self) -> None:
        views = [node.view for node in self.live() if node.coordinates]
        for reader in views:
            for writer in views:
                missed = read_that_misses(reader.ring, writer.rings)
                assert missed is None, (
                    f"{reader.me} ({reader.table.phase} {reader.table.rank}) may read {missed}, "
                    f"{writer.me} ({writer.table.phase} {writer.table.rank}) writes elsewhere"
                )
            self.check_data(reader)

    def check_data(self, reader: View) -> None:
        ring: Ring = reader.ring
        owners = ring.partition_owners(PARTITION, N)
        able = [o for o in owners if o in reader.members and self.nodes[o].is_whole]
        able = [o for o in able if self.answers(o, reader.me)]
        for read in combinations(able, min(R, len(owners))):
            found = set().union(*(self.nodes[name].held for name in read))
            missed = self.acknowledged - found
            assert not missed, f"{reader.me} reads {read} and misses {missed}; {reader.table}"


@pytest.mark.parametrize("block", range(5))
def test_every_read_meets_every_acknowledged_write_whatever_phases_nodes_are_in(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        world = World(seed)
        try:
            for _ in range(600):
                world.some_event()
                world.check()
        except AssertionError as error:
            raise AssertionError("\n".join([f"seed {seed}", *world.story, str(error)])) from error


def test_when_faults_stop_every_change_finishes_and_all_agree() -> None:
    finished = set()
    for seed in range(60):
        world = World(seed)
        for _ in range(300):
            world.some_event()
        world.restart()
        for _ in range(400):
            world.deliver()
            world.pass_time() if not world.under_way else None
            world.fill()
        for _ in range(60):
            world.pass_time()
            world.remove_again()
            world.depart()
            while world.under_way:
                world.deliver()
            world.fill()
        views = [node.view for node in world.live() if node.name in node.view.members]
        assert len({view.table for view in views}) == 1, (seed, world.story)
        table = views[0].table
        if table.rank.epoch:  # else a founder was removed before all had met
            assert table.phase is Phase.STABLE, (seed, world.story, views[0].cluster)
        finished.add(table.rank.epoch)
    assert max(finished) > 5  # several changes, one after another
