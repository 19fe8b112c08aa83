"""The users of the virtual cluster: they start jobs, and change their minds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapreduce.engine.events import Event, JobKilled, JobPaused, JobResumed, TaskId, TaskKilled
from tests.simulation.jobs.master import Record
from tests.simulation.jobs.plan import JobPlan

if TYPE_CHECKING:
    from tests.simulation.jobs.worker import Worker
    from tests.simulation.jobs.world import World


class People:
    """What is wanted stands in the job's record first, so that the next leader knows of it too."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._dice = world.dice

    def submit(self, job: JobPlan) -> None:
        """`run_job`; with no master about, the user tries again."""
        world = self._world
        if world.leader is None:
            world.after(0.5, self.submit, job)
            return
        world.records[job.name] = Record(job)
        world.leader.take_up(world.records[job.name])

    def wish(self) -> None:
        running = [r for r in self._world.records.values() if not r.state.ended]
        if running and self._world.leader:
            record = self._dice.choice(running)
            self._dice.choice((self._kill, self._pause, self._kill_task, self._drain))(record)

    def resume_all(self) -> None:
        for record in self._world.records.values():
            self._resume(record)

    def _kill(self, record: Record) -> None:
        record.kill_wanted = True
        self._wants(JobKilled(record.plan.name))

    def _pause(self, record: Record) -> None:
        record.paused = True
        self._wants(JobPaused(record.plan.name))
        self._world.after(self._dice.uniform(0.5, 10.0), self._resume, record)

    def _resume(self, record: Record) -> None:
        if record.paused:
            record.paused = False
            self._wants(JobResumed(record.plan.name))

    def _kill_task(self, record: Record) -> None:
        job = record.plan
        kind = self._dice.choice(("map", "reduce"))
        if count := job.maps if kind == "map" else job.reduces:
            self._wants(TaskKilled(TaskId(job.name, kind, self._dice.randrange(count))))

    def _drain(self, _: Record) -> None:
        """A worker is to stop: it ends what it does, and is started anew later."""
        world = self._world
        worker = world.trouble.any_worker()
        worker.draining = True
        world.counted["drains"] += 1
        world.say(worker.name, "drains")
        world.after(self._dice.uniform(1.0, 8.0), self._restart, worker)

    def _restart(self, worker: Worker) -> None:
        if worker.alive and worker.draining:
            worker.crash()
            worker.come_back()

    def _wants(self, event: Event) -> None:
        self._world.say("user", f"wants {event}")
        self._world.counted[type(event).__name__] += 1
        if self._world.leader:
            self._world.leader.tell(event)
