"""The paper's stories, played in the virtual world: docs/scenarios/*.md shows what came of each.

A scenario is a script of a few operations and faults. Nothing in its world is left to chance
(`Plan.steady`), so the ladder diagram in the file is what the nodes really do, and
`test_scenarios.py` holds the two together. When the protocol has changed:

    python -m tests.simulation.scenarios --write
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import msgspec

from dynamo.disk.contract import HINTS, owner_and_key_of_hint
from dynamo.protocol.messages import CommitPlan, Envelope, Request, StageChange
from dynamo.protocol.settings import Settings
from dynamo.simulation import ladder
from dynamo.simulation.history import Operation
from dynamo.simulation.network import Note, Passage
from dynamo.simulation.plan import Plan
from dynamo.simulation.workload import VirtualClient
from dynamo.simulation.world import World
from dynamo.values.cluster import Change, Kind, Phase, Table
from dynamo.values.ring import Ring, claim
from dynamo.values.versions import Context

OPERATOR = "operator"
FOLDER = Path(__file__).parents[2] / "docs" / "scenarios"
BEGIN, END = "```text\n", "```\n"
"""What stands around the ladder in a file."""

SETTINGS = Settings(
    n=3,
    r=2,
    w=2,
    timeout_s=2.0,
    resend_s=0.5,
    suspect_s=0.5,
    ping_s=0.5,
    repair_wait_s=0.1,
    gossip_s=0.0,
    anti_entropy_s=0.0,
    rebuild_s=0.0,
)
"""Without what goes on in the background, gossip too: a story that is about it has it."""


class Stage:
    """A small world, its clients, and the key that all is about: its owners are n1, n2, n3."""

    def __init__(
        self,
        nodes: int = 3,
        clients: int = 1,
        settings: Settings = SETTINGS,
        operator: bool = False,
    ) -> None:
        plan = Plan(1, nodes, clients, resets=1.0, settings=settings, steady=True)
        plan = replace(plan, changes=int(operator))
        self.world = World(plan)
        spare = plan.spare_names[:1]  # the others have nothing to do
        self._participants = [OPERATOR] * operator + plan.client_names + plan.node_names + spare
        self.world.network.receivers[OPERATOR] = lambda envelope: True
        ids = count(1)
        self._clients = {
            name: VirtualClient(name, self.world, ids, pause_s=0.0) for name in plan.client_names
        }
        self.passes(1.0)  # the nodes meet
        self._began = len(self.world.trace), self.world.clock.now
        keys = (f"cart{number}" for number in range(1, 1000))
        self.key = next(key for key in keys if self._is_ours(self.world.owners(key)))

    @staticmethod
    def _is_ours(owners: tuple[str, ...]) -> bool:
        return owners[0] == "n1" and set(owners) == {"n1", "n2", "n3"}

    def passes(self, for_s: float) -> None:
        """Let time pass."""
        self.world.clock.run(for_s=for_s)

    def do(self, *operations: Operation) -> None:
        """Let clients do these at the same time, one each, until all have their answers."""
        for operation, client in zip(operations, self._clients.values()):
            client.follow(iter([operation]))
        working = self._clients.values()
        self.world.clock.run(until=lambda: not any(client.working for client in working))
        assert all(operation.succeeded for operation in operations)

    def put(self, node: str, value: bytes, context: Context | None = None) -> Operation:
        return Operation("put", self.key, value, context, at_node=node)

    def get(self, node: str) -> Operation:
        return Operation("get", self.key, at_node=node)

    def crash(self, node: str) -> None:
        self.world.machines[node].crash()

    def start(self, node: str) -> None:
        self.world.machines[node].start()

    def copies(self) -> dict[str, tuple[bytes, ...]]:
        """The values on the disks of the key's owners."""
        return {name: copy.values for name, copy in self.world.kept_copies(self.key).items()}

    def hints(self) -> list[tuple[str, str]]:
        """Who keeps a copy, and for whom."""
        return [
            (name, owner_and_key_of_hint(disk_key)[0])
            for name, machine in self.world.machines.items()
            for disk_key, _ in machine.disk.scan(*HINTS)
        ]

    @property
    def table(self) -> Table:
        """Who owns what, as n1 sees it."""
        view = self.world.machines["n1"].view
        assert view is not None
        return view.table

    def tell(self, node: str, request: Request) -> None:
        """Let an operator ask for a change of the ring."""
        self.world.network.send(Envelope(OPERATOR, node, request))

    def until_phase(self, phase: Phase) -> None:
        """Let time pass until n1 goes by this phase of a change, and note when."""
        self.world.clock.run(until=lambda: self.table.phase is phase, for_s=20.0)
        self.world.machines["n1"].note(f"is in the phase {phase}")

    def ladder(self, contexts: bool) -> str:
        """What has happened on this stage; time begins with it."""
        place, origin_s = self._began
        trace = [_since(origin_s, event) for event in self.world.trace[place:]]
        lines = ladder.draw(trace, self._participants, contexts=contexts)
        return "".join(f"{line}\n" for line in lines)


def _since(origin_s: float, event: Passage | Note) -> Passage | Note:
    if isinstance(event, Note):
        return event._replace(at=event.at - origin_s)
    sent_at, ended_at = event.sent_at - origin_s, event.ended_at - origin_s
    return msgspec.structs.replace(event, sent_at=sent_at, ended_at=ended_at)


# The stories -------------------------------------------------------------------------------------


def put() -> Stage:
    stage = Stage()
    written = stage.put("n1", b"book")
    stage.do(written)
    assert written.nodes == ("n1", "n2")
    stage.passes(0.1)
    assert set(stage.copies().values()) == {(b"book",)}
    return stage


def read_repair() -> Stage:
    stage = Stage()
    stage.crash("n3")
    stage.do(stage.put("n1", b"book"))
    stage.passes(SETTINGS.timeout_s)  # n1 no longer tries to reach n3
    stage.start("n3")
    stage.passes(1.0)
    assert stage.copies() == {"n1": (b"book",), "n2": (b"book",), "n3": ()}
    read = stage.get("n2")
    stage.do(read)
    assert read.siblings is not None
    assert read.siblings.values == (b"book",)
    stage.passes(0.2)
    assert stage.copies()["n3"] == (b"book",)
    return stage


def hinted_handoff() -> Stage:
    stage = Stage(nodes=4)
    stage.crash("n2")
    written = stage.put("n1", b"book")
    stage.do(written)
    assert written.nodes == ("n1", "n3")
    stage.passes(0.8)
    assert stage.hints() == [("n4", "n2")]
    stage.start("n2")
    stage.passes(1.0)
    assert stage.hints() == []
    assert stage.copies()["n2"] == (b"book",)
    return stage


def sloppy_quorum() -> Stage:
    stage = Stage(nodes=5)
    stage.crash("n2")
    stage.crash("n3")
    written = stage.put("n1", b"book")
    stage.do(written)
    assert written.nodes == ("n1", "n4")
    assert stage.hints() == [("n4", "n2"), ("n5", "n3")]
    return stage


def anti_entropy() -> Stage:
    stage = Stage(4, settings=replace(SETTINGS, anti_entropy_s=1.0, ping_s=60.0))
    stage.crash("n2")
    stage.do(stage.put("n1", b"book"))
    stage.passes(0.1)
    assert stage.hints() == [("n4", "n2")]
    stage.crash("n4")
    stage.start("n2")
    assert stage.copies()["n2"] == ()
    stage.passes(0.68)
    assert stage.copies()["n2"] == (b"book",)
    return stage


def join() -> Stage:
    stage = Stage(operator=True)
    present = stage.table.owners
    to_come = Ring(claim(["n1", "n2", "n3", "n4"], len(present), 3, present))
    keys = (f"cart{number}" for number in range(1, 1000))
    stage.key = next(key for key in keys if "n4" in to_come.preference_list(key, 3))
    stage.do(stage.put("n1", b"book"))
    stage.passes(0.1)
    stage.tell("n1", StageChange(1, Change(Kind.JOIN, "n4", address="n4")))
    stage.passes(0.1)
    stage.tell("n1", CommitPlan(2, stage.table.rank))
    stage.until_phase(Phase.FILLING)
    stage.passes(0.1)
    stage.do(stage.put("n2", b"lamp"))
    stage.until_phase(Phase.SWITCHING)
    stage.until_phase(Phase.STABLE)
    stage.passes(2.0)
    assert "n4" in stage.copies()
    assert set(stage.copies().values()) == {(b"lamp",)}
    return stage


def divergence() -> Stage:
    stage = Stage(clients=2)
    stage.do(stage.put("n1", b"D1"))
    first = stage.get("n1")
    stage.do(first)
    assert first.siblings is not None
    stage.do(stage.put("n1", b"D2", first.siblings.context))
    stage.passes(0.1)
    reads = stage.get("n1"), stage.get("n1")
    stage.do(*reads)
    context = reads[0].siblings.context if reads[0].siblings else {}
    stage.do(stage.put("n2", b"D3", context), stage.put("n3", b"D4", context))
    stage.passes(0.1)
    both = stage.get("n1")
    stage.do(both)
    assert both.siblings is not None
    assert sorted(both.siblings.values) == [b"D3", b"D4"]
    assert sorted(both.siblings.context.values()) == [1, 1, 2]
    stage.do(stage.put("n1", b"D5", both.siblings.context))
    stage.passes(0.1)
    assert set(stage.copies().values()) == {(b"D5",)}
    return stage


@dataclass(frozen=True)
class Scenario:
    """A story, and the file in docs/scenarios/ that shows it."""

    play: Callable[[], Stage]
    contexts: bool = False
    """Whether the ladder shows the contexts."""

    @property
    def file(self) -> Path:
        return FOLDER / f"{self.play.__name__.replace('_', '-')}.md"

    def text(self) -> str:
        """The file as it should be: with the ladder of a run that has just been played."""
        before, _, rest = self.file.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        return f"{before}{BEGIN}{self.play().ladder(self.contexts)}{END}{after}"


SCENARIOS = (
    Scenario(put),
    Scenario(read_repair),
    Scenario(hinted_handoff),
    Scenario(sloppy_quorum),
    Scenario(divergence, contexts=True),
    Scenario(anti_entropy),
    Scenario(join),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="Play the scenarios of docs/scenarios/.")
    parser.add_argument("--write", action="store_true", help="write the ladders into the files")
    write = parser.parse_args().write
    for scenario in SCENARIOS:
        text = scenario.text()
        if write:
            scenario.file.write_text(text)
        else:
            print(text)


if __name__ == "__main__":
    main()
