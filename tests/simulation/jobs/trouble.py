"""What goes wrong in the virtual world, at random times, as often as its plan says."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.simulation.jobs.master import Master

if TYPE_CHECKING:
    from tests.simulation.jobs.worker import Worker
    from tests.simulation.jobs.world import World


class Trouble:
    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.dice

    def arrange(self) -> None:
        world, plan = self._world, self._world.plan
        for count, happens in (
            (plan.crashes, self._crash),
            (plan.deaths, self._bury),
            (plan.stalls, self._stall),
            (plan.gone, self._lose_pieces),
            (plan.wishes, world.people.wish),
            (plan.masters, self._change_masters),
        ):
            for _ in range(count):
                world.at(self._dice.uniform(0.0, plan.rough_s), self._if_rough, happens)
        world.at(plan.rough_s, self._if_rough, self.end)

    def end(self) -> None:
        """From now on all goes well."""
        world = self._world
        world.say("world", "calms down")
        world.rough = False
        world.store.walls = frozenset()
        for worker in world.workers.values():
            worker.stalled_until = world.now
            worker.draining = False
            worker.come_back()
        if world.leader is None:
            world.elect()
        world.people.resume_all()

    def _if_rough(self, happens: Callable[[], None]) -> None:
        if self._world.rough:
            happens()

    # Workers and their pieces --------------------------------------------------------------------

    def any_worker(self) -> Worker:
        return self._world.workers[self._dice.choice(self._world.plan.workers).name]

    def _crash(self) -> None:
        worker = self.any_worker()
        if worker.alive:
            self._world.counted["crashes"] += 1
            worker.crash()
            self._world.after(self._dice.choice((0.5, 3.0, 8.0, 100.0)), worker.come_back)

    def _bury(self) -> None:
        """A worker dies for good, if another one is left."""
        worker = self.any_worker()
        if sum(not other.buried for other in self._world.workers.values()) > 1:
            self._world.counted["deaths"] += 1
            worker.crash()
            worker.buried = True

    def _stall(self) -> None:
        self.any_worker().stall(self._dice.uniform(1.0, 9.0))

    def _lose_pieces(self) -> None:
        """What one attempt has made for the reducers can't be read any more."""
        pieces = self._world.store.pieces
        if pieces:
            attempt = self._dice.choice(list(pieces))
            self._world.say("store", f"loses the pieces of {attempt} of {attempt.task.job}")
            self._world.counted["pieces lost"] += 1
            del pieces[attempt]

    # Masters -------------------------------------------------------------------------------------

    def _change_masters(self) -> None:
        """The leader dies and another one leads after a while; or both believe that they lead."""
        world, old = self._world, self._world.leader
        if old is None:
            return
        world.counted["leaders"] += 1
        if self._dice.random() < 0.6:
            self._fell(old)
        else:
            world.counted["two leaders"] += 1
            old.write_s = self._dice.uniform(0.1, 4.0)
            world.former = old
            world.elect()
            world.after(self._dice.uniform(0.0, 6.0), old.die)

    def strike(self, master: Master) -> bool:
        """True if the leader dies here, at the worst moment."""
        world = self._world
        if not (world.plan.masters and master is world.leader and world.chance(0.2)):
            return False
        world.counted["struck"] += 1
        self._fell(master)
        return True

    def _fell(self, master: Master) -> None:
        master.die()
        self._world.leader = None
        self._world.after(self._dice.choice((0.3, 1.0, 6.0)), self._elect)

    def _elect(self) -> None:
        if self._world.rough or self._world.leader is None:
            self._world.elect()
