"""What goes wrong in a world, and when: each kind of fault by a generator of its own."""

from collections.abc import Callable
from itertools import count
from random import Random

from dynamo.simulation.losses import Losses, key_of, stored_copies
from dynamo.simulation.machine import Machine
from dynamo.simulation.network import Way, both_ways
from dynamo.simulation.plan import stream
from dynamo.simulation.world import World

CLOCK_JUMPS_S = (-7200.0, -60.0, -5.0, 5.0, 60.0, 7200.0)
"""How far a wall clock may jump."""


class Faults:
    """Strikes the machines and the network of `world` until it is told to end."""

    def __init__(self, world: World, losses: Losses) -> None:
        self._world = world
        self._clock = world.clock
        self._names = world.plan.machine_names
        self._losses = losses
        self._ids = count()
        self._lasting: dict[int, Callable[[], None]] = {}
        """What ends each fault that lasts."""
        self._over = False
        kinds: dict[str, Callable[[Random], None]] = {
            "crashes": self._crash,
            "outages": self._outage,
            "blackouts": self._blackout,
            "cuts": self._cut,
            "splits": self._split,
            "one_way_cuts": self._one_way_cut,
            "broken_links": self._break_link,
            "slowdowns": self._slow_down,
            "pauses": self._pause,
            "clock_jumps": self._jump_clock,
            "bit_flips": self._flip_bit,
            "full_disks": self._fill_disk,
            "old_disks": self._keep_old_disk,
        }
        for kind, strike in kinds.items():
            random = stream(world.plan.seed, kind)
            for _ in range(getattr(world.plan, kind)):
                self._after(random.uniform(0.0, world.plan.faults_last_s), strike, random)

    def end(self) -> None:
        """From now on nothing goes wrong any more, and what went wrong is put right."""
        self._world.network.calm = True
        self._over = True
        for id in list(self._lasting):
            self._end(id)

    def _after(self, delay_s: float, strike: Callable[..., None], *arguments: object) -> None:
        self._clock.after(delay_s, self._strike, strike, *arguments)

    def _strike(self, strike: Callable[..., None], *arguments: object) -> None:
        if not self._over:
            strike(*arguments)

    def _lasts(self, for_s: float, undo: Callable[[], None]) -> None:
        id = next(self._ids)
        self._lasting[id] = undo
        self._clock.after(for_s, self._end, id)

    def _end(self, id: int) -> None:
        if id in self._lasting:
            self._lasting.pop(id)()

    def _any_machine(self, random: Random) -> Machine:
        return self._world.machines[random.choice(self._names)]

    # Machines that stop ---------------------------------------------------------------------------

    def _crash(self, random: Random) -> None:
        for_s = random.choice((0.02, 0.2, 1.0)) * random.random()
        self._stop(self._any_machine(random), for_s)

    def _outage(self, random: Random) -> None:
        self._stop(self._any_machine(random), random.uniform(1.0, 3.0))

    def _blackout(self, random: Random) -> None:
        for machine in self._world.machines.values():
            self._stop(machine, random.random())

    def _stop(self, machine: Machine, for_s: float) -> None:
        self._world.history.crashed_at.append(self._clock.now)
        machine.crash()
        self._lasts(for_s, machine.start)

    # Networks that separate -----------------------------------------------------------------------

    def _cut(self, random: Random) -> None:
        name = random.choice(self._names)
        others = [other for other in self._world.network.receivers if other != name]
        self._block(name, "is cut off", both_ways([name], others), random)

    def _split(self, random: Random) -> None:
        here = random.sample(self._names, random.randint(1, len(self._names) - 1))
        there = [name for name in self._names if name not in here]
        text = f"{','.join(here)} are cut off from {','.join(there)}"
        self._block(here[0], text, both_ways(here, there), random)

    def _one_way_cut(self, random: Random) -> None:
        deaf, other = random.sample(self._names, 2)
        unheard = [other] if random.random() < 0.5 else [n for n in self._names if n != deaf]
        ways = [(name, deaf) for name in unheard]
        self._block(deaf, f"does not hear {','.join(unheard)}", ways, random)

    def _break_link(self, random: Random) -> None:
        one, other = random.sample(self._names, 2)
        self._block(one, f"is cut off from {other}", both_ways([one], [other]), random)

    def _block(self, name: str, text: str, ways: list[Way], random: Random) -> None:
        machine, network = self._world.machines[name], self._world.network
        network.block(ways)
        machine.note(text)

        def unblock() -> None:
            network.unblock(ways)
            machine.note(f"no more: {text}")

        self._lasts(random.uniform(0.2, 2.0), unblock)

    # Machines that limp ---------------------------------------------------------------------------

    def _slow_down(self, random: Random) -> None:
        machine = self._any_machine(random)
        machine.slow_down(random.choice((0.05, 0.5)))
        self._lasts(random.uniform(0.5, 3.0), lambda: machine.slow_down(0.0))

    def _pause(self, random: Random) -> None:
        machine = self._any_machine(random)
        machine.pause()
        self._lasts(random.uniform(0.1, 3.0), machine.resume)

    def _jump_clock(self, random: Random) -> None:
        machine = self._any_machine(random)
        machine.set_clock(random.choice(CLOCK_JUMPS_S))
        self._lasts(random.uniform(0.1, 3.0), lambda: machine.set_clock(0.0))

    # Disks that fail ------------------------------------------------------------------------------

    def _fill_disk(self, random: Random) -> None:
        machine = self._any_machine(random)
        machine.fill_disk()
        self._lasts(random.uniform(0.2, 2.0), machine.free_disk)

    def _flip_bit(self, random: Random) -> None:
        machine = self._any_machine(random)
        stored = stored_copies(machine.disk)
        if not stored:
            return
        disk_key = random.choice(list(stored))
        if self._losses.may_lose(machine.name, {disk_key: stored[disk_key]}):
            self._losses.lose(machine.name, {disk_key: stored[disk_key]})
            machine.disk.flip_bit(disk_key, random.randrange(8 * len(stored[disk_key])))
            machine.note(f"has a damaged record of {key_of(disk_key)}")

    def _keep_old_disk(self, random: Random) -> None:
        machine = self._any_machine(random)
        snapshot = machine.disk.snapshot()
        self._stop(machine, 0.2 * random.random())
        self._after(random.uniform(0.1, 2.0), self._restore, machine, snapshot, random)

    def _restore(self, machine: Machine, snapshot: dict[bytes, bytes], random: Random) -> None:
        """Put it back as soon as all others know of a later start: sooner nobody could notice."""
        if not self._world.knows_better(machine, snapshot):
            self._after(0.1, self._restore, machine, snapshot, random)
            return
        lost = {
            disk_key: stored
            for disk_key, stored in stored_copies(machine.disk).items()
            if snapshot.get(disk_key) != stored
        }
        if self._losses.may_lose(machine.name, lost):
            self._losses.lose(machine.name, lost)
            self._stop(machine, random.random())
            machine.disk.restore(snapshot)
            machine.note("is given an old copy of its disk")
