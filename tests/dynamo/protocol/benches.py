"""Several nodes on workbenches side by side: what one sends the others hear a millisecond later."""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from dynamo.disk.contract import COPIES, MemoryDisk
from dynamo.protocol.messages import Envelope, Lost, Message, Request
from dynamo.protocol.settings import Settings
from dynamo.values.versions import EMPTY, NOTHING_SEEN, Siblings, update
from tests.dynamo.protocol.bench import SETTINGS, Bench, ring_of

COMPARING = replace(SETTINGS, anti_entropy_s=10.0)


def version(text: str, actor: str = "x-1-1") -> Siblings:
    """A copy with one version."""
    return update(EMPTY, NOTHING_SEEN, actor, text.encode(), 1.0)


class Benches:
    """The nodes of one cluster, and time that passes for all of them."""

    def __init__(self, count: int = 3, settings: Settings = COMPARING) -> None:
        self.ring = ring_of(count)
        self.now = 0.0
        self.down: set[str] = set()
        self.drops: Callable[[Envelope], bool] = lambda envelope: False
        """Says which envelopes get lost on their way."""
        self.carried: Counter[str] = Counter()
        """Messages that have arrived, by type."""
        self.seen: list[Envelope] = []
        self._under_way: list[Envelope] = []
        self.benches = {
            name: Bench(name, self.ring, settings, MemoryDisk()) for name in self.ring.members
        }

    def __getitem__(self, name: str) -> Bench:
        return self.benches[name]

    def send(self, receiver: str, message: Message, sender: str = "client") -> None:
        self._under_way.append(Envelope(sender, receiver, message))

    def run(self, for_s: float) -> None:
        """Let time pass."""
        end = self.now + for_s
        for _ in range(100_000):
            at = self.now + 0.001 if self._under_way else self._next_wake()
            if at > end:
                self.now = end
                return
            self.now = max(self.now, at)
            self._step_all()
        raise AssertionError("the nodes never come to rest")

    def copies(self, name: str) -> dict[bytes, Siblings]:
        """All copies on a node's disk, by their place there."""
        bench = self.benches[name]
        places = [place for place, _ in bench.disk.scan(*COPIES)]
        return {place: bench.copy(place[3:].decode()) for place in places}

    def hold(self, key: str, siblings: Siblings, *names: str) -> None:
        """Let these nodes have a copy, as if a put had reached only them."""
        for name in names:
            self.benches[name].node.replica.merge(key, siblings, durable=True)
            self._step(name, [])

    def _next_wake(self) -> float:
        wakes = (b.node.next_wake() for name, b in self.benches.items() if name not in self.down)
        # A little later, lest a node that looks at a rounded time never comes to rest.
        return max(min((at for at in wakes if at is not None), default=math.inf), self.now) + 1e-6

    def _step_all(self) -> None:
        arrived, self._under_way = self._under_way, []
        for name in self.benches:
            self._step(name, [envelope for envelope in arrived if envelope.receiver == name])

    def _step(self, name: str, envelopes: Iterable[Envelope]) -> None:
        if name in self.down:
            lost = [
                e.reply(Lost(e.message.id)) for e in envelopes if isinstance(e.message, Request)
            ]
            self._under_way += [e for e in lost if e.receiver in self.benches]
            return
        bench = self.benches[name]
        bench.now = self.now
        envelopes = [envelope for envelope in envelopes if not self.drops(envelope)]
        self.carried.update(type(envelope.message).__name__ for envelope in envelopes)
        self.seen += envelopes
        sent = bench.step(*envelopes).envelopes
        self._under_way += [e for e in sent if e.receiver in self.benches]
