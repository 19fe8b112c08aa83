"""What goes wrong in a world: each kind really strikes, and is put right in the end."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import count

import pytest

from dynamo.disk.contract import Write, copy_key
from dynamo.disk.record import Copy, encode
from dynamo.protocol.messages import Envelope, Ping, Pong
from dynamo.protocol.node import Node, Step
from dynamo.simulation.history import Operation
from dynamo.simulation.losses import Losses
from dynamo.simulation.network import Clock, Note, Passage
from dynamo.simulation.plan import FAULTS, Plan
from dynamo.simulation.workload import VirtualClient, work
from dynamo.simulation.world import World
from dynamo.values.versions import EMPTY, update


def world_with(kind: str, amount: int = 6, node_type: type[Node] = Node) -> World:
    calm = replace(Plan(seed=5, nodes=4), operations=40, keys=6)
    world = World(replace(calm, **{kind: amount}), node_type)
    work(world)
    return world


def notes(world: World) -> list[str]:
    return [event.text for event in world.trace if isinstance(event, Note)]


@pytest.mark.parametrize(
    ("kind", "begins", "ends"),
    [
        ("crashes", "crashes", "starts"),
        ("outages", "crashes", "starts"),
        ("blackouts", "crashes", "starts"),
        ("cuts", "is cut off", "no more: is cut off"),
        ("splits", "are cut off from", "no more: "),
        ("one_way_cuts", "does not hear", "no more: does not hear"),
        ("broken_links", "is cut off from", "no more: is cut off from"),
        ("slowdowns", "late with everything", "is in time again"),
        ("pauses", "stands still", "goes on"),
        ("clock_jumps", "has its clock set", "has its clock right"),
        ("full_disks", "begins anew, read-only", "begins anew"),
        ("bit_flips", "has a damaged record of key", ""),
        ("old_disks", "is given an old copy of its disk", "starts"),
    ],
)
def test_each_kind_strikes_and_is_put_right(kind: str, begins: str, ends: str) -> None:
    world = world_with(kind)
    told = notes(world)[4:]  # without the first start of each machine
    first = next(place for place, text in enumerate(told) if begins in text)
    assert any(ends in text for text in told[first:])
    assert everybody_hears_everybody(world)
    assert all(machine.wall_error_s == 0.0 for machine in world.machines.values())


def everybody_hears_everybody(world: World) -> bool:
    names, heard = world.plan.node_names, len(world.trace)
    for name in names:
        for other in names:
            world.network.send(Envelope(name, other, Ping(1)))
    world.clock.run(for_s=1.0)
    pongs = [e for e in world.trace[heard:] if isinstance(e, Passage) and e.fate == ""]
    return sum(isinstance(e.envelope.message, Pong) for e in pongs) == len(names) ** 2


def test_each_kind_of_fault_is_a_number_of_the_plan_and_is_drawn_in_some_seeds() -> None:
    drawn = [Plan.drawn(seed) for seed in range(1, 60)]
    for kind in FAULTS:
        amounts = {getattr(plan, kind) for plan in drawn}
        assert 0 in amounts
        assert len(amounts) > 1


def pongs(world: World, name: str) -> int:
    """How many of the pings number 0 to 2 a node has answered."""
    passages = (event for event in world.trace if isinstance(event, Passage))
    all_said = [passage.envelope for passage in passages if passage.envelope.sender == name]
    return sum(isinstance(said.message, Pong) and said.message.id < 3 for said in all_said)


# Machines ----------------------------------------------------------------------------------------


def test_a_machine_that_stands_still_finds_all_that_came_meanwhile() -> None:
    world = World(Plan(seed=1))
    machine = world.machines["n1"]
    machine.pause()
    for number in range(3):
        world.network.send(Envelope("n2", "n1", Ping(number)))
    world.clock.run(for_s=1.0)
    assert pongs(world, "n1") == 0
    machine.resume()
    world.clock.run(for_s=1.0)
    assert pongs(world, "n1") == 3


def test_a_node_is_told_what_its_own_wall_clock_says() -> None:
    told: list[float] = []

    class Listens(Node):
        def step(self, envelopes: Iterable[Envelope], now: float, wall: float) -> Step:
            if self.name == "n1":
                told.append(wall)
            return super().step(envelopes, now, wall)

    world = World(Plan(seed=1), Listens)
    world.machines["n1"].set_clock(-7200.0)
    world.network.send(Envelope("n2", "n1", Ping(1)))
    world.clock.run(for_s=1.0)
    assert told[0] == 1_000_000.0
    assert 1_000_000.0 - 7200.0 < told[1] < 1_000_000.0 - 7199.0


def test_nothing_is_committed_on_a_full_disk_and_it_is_when_there_is_room_again() -> None:
    world = World(Plan(seed=1))
    world.clock.run(for_s=1.0)  # the nodes have met
    before = {name: machine.disk.snapshot() for name, machine in world.machines.items()}
    for machine in world.machines.values():
        machine.fill_disk()
    client = VirtualClient("c1", world, count(1), pause_s=0.0)
    client.follow(iter([Operation("put", "key1", b"1"), Operation("get", "key1")]))
    world.clock.run(for_s=5.0)
    assert before == {name: machine.disk.snapshot() for name, machine in world.machines.items()}
    assert "begins anew, read-only" in notes(world)
    for machine in world.machines.values():
        machine.free_disk()
    client.follow(iter([Operation("put", "key1", b"2")]))
    world.clock.run(for_s=5.0)
    assert [op.succeeded for op in world.history.operations] == [False, True, True]


def test_a_request_that_found_a_full_disk_is_asked_again_of_the_next_node() -> None:
    """It is answered at once, not when the client's patience ends."""
    world = World(Plan(seed=1))
    world.clock.run(for_s=1.0)  # the nodes have met
    world.machines["n1"].fill_disk()
    client = VirtualClient("c1", world, count(1), pause_s=0.0)
    client.follow(iter([Operation("put", "key1", b"1", at_node="n1")]))
    world.clock.run(until=lambda: not client.working)
    assert world.history.operations[0].ended_at is not None
    assert world.clock.now < 1.5


# Losses ------------------------------------------------------------------------------------------


def store(world: World, *names: str) -> bytes:
    disk_key = copy_key(world.cluster.table.reading.partition_of("key1"), "key1")
    copy = encode(Copy("", update(EMPTY, None, "a", b"1", 1.0)))
    for name in names:
        world.machines[name].disk.commit([Write(disk_key, copy)], sync=True)
    return disk_key


def test_two_disks_never_lose_the_same_before_the_first_has_it_again() -> None:
    world = World(Plan(seed=1))
    disk_key = store(world, "n1", "n2", "n3")
    stored = {disk_key: world.machines["n1"].disk.snapshot()[disk_key]}
    losses = Losses(world)
    assert losses.may_lose("n1", stored)
    losses.lose("n1", stored)
    world.machines["n1"].disk.flip_bit(disk_key, 100)
    assert world.kept_copies("key1")["n1"] == EMPTY
    assert losses.may_lose("n1", stored)
    assert not losses.may_lose("n2", stored)
    store(world, "n1")
    assert losses.may_lose("n2", stored)


def test_time_passes_until_something_holds_or_for_so_long() -> None:
    clock, happened = Clock(), list[int]()
    for second in range(1, 6):
        clock.after(second, happened.append, second)
    clock.run(for_s=2.5)
    assert happened == [1, 2]
    clock.run(until=lambda: len(happened) == 4)
    assert happened == [1, 2, 3, 4]
    clock.run()
    assert happened == [1, 2, 3, 4, 5]
    clock.run(for_s=2.0)
    assert clock.now == 7.0
