"""What the leading master does with each run, in lines for people: see `serverlog`.

It is told the scheduler's events and actions, and stores what it says while the run goes on, so
that what a master has said that is killed is there too.
"""

import gevent

from dynamo.store import Store
from mapreduce.cluster import serverlog
from mapreduce.cluster.serverlog import ServerLog, gist, name, step_of
from mapreduce.cluster.threads import Threads
from mapreduce.engine.events import (
    Action,
    AttemptFailed,
    AttemptReturned,
    AttemptWon,
    CommitFailed,
    CommitJob,
    Event,
    JobEnded,
    JobKilled,
    JobPaused,
    JobResumed,
    JobStarted,
    JobState,
    KillAttempt,
    OutputLost,
    RunAttempt,
    TaskKilled,
)
from mapreduce.engine.scheduler import Scheduler

KEEP_S = 1.0
"""So often what was said is stored, and workers that have come or gone are looked for."""


class Narrator:
    """One term of a master. Every method is called in the hub."""

    def __init__(
        self, master: str, term: int, scheduler: Scheduler, store: Store, threads: Threads
    ) -> None:
        self._master, self._term = master, term
        self._scheduler = scheduler
        self._store = store
        self._threads = threads
        self._log = ServerLog(f"master-{master}", f"{term:010d}")
        self._phases: set[str] = set()
        """Those that the scheduler has, and that have not ended."""
        self._workers: set[str] = set()

    def event(self, event: Event) -> None:
        """Tell what has happened."""
        if told := _of_event(event):
            phase, text = told
            if isinstance(event, JobStarted):
                self._phases.add(phase)
                text += f", in term {self._term}"
            if phase in self._phases:
                self._log.say(phase, text)

    def action(self, action: Action) -> None:
        """Tell what is done about it."""
        if (told := _of_action(action)) and told[0] in self._phases:
            self._log.say(*told)
        if isinstance(action, JobEnded):
            self._phases.discard(action.job)

    def ended(self, phase: str, state: JobState, error: str) -> None:
        """Tell how a run has ended, whose last phase this is."""
        self._phases.discard(phase)
        why = f": {gist(error)}" if error else ""
        self._log.say(phase, f"the run has {_ENDED[state]}{why}")

    def close(self, run: str) -> None:
        """Store what was said of a run that is over, and say no more of it."""
        items = self._log.take(run)
        self._log.close(run)
        if items:
            self._threads.call(serverlog.keep, self._store, items)

    def keep(self) -> None:
        """Store what is said, and look who has come and gone, as long as the term lasts."""
        while True:
            gevent.sleep(KEEP_S)
            self._look_at_workers()
            if items := self._log.take():
                self._threads.call(serverlog.keep, self._store, items)

    def _look_at_workers(self) -> None:
        now = {worker.name for worker in self._scheduler.workers()}
        said = [f"worker {worker} is gone" for worker in sorted(self._workers - now)]
        said += [f"worker {worker} has come" for worker in sorted(now - self._workers)]
        self._workers = now
        for run_phase in sorted(self._phases):
            for text in said:
                self._log.say(run_phase, text)


_ENDED = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.KILLED: "been killed",
}


def _of_event(event: Event) -> tuple[str, str] | None:
    """The phase that an event is about, and what there is to say."""
    match event:
        case JobStarted(job=job):
            return job, _beginning(event)
        case JobKilled(job=job):
            return job, "its user kills the run"
        case JobPaused(job=job):
            return job, "its user pauses it"
        case JobResumed(job=job):
            return job, "its user lets it go on"
        case TaskKilled(task=task):
            return task.job, f"its user kills what runs of {name(task)}"
        case AttemptFailed(attempt=attempt, worker=worker, lost=lost) if lost:
            missing = ", ".join(map(name, lost))
            return attempt.task.job, f"{name(attempt)} on {worker} could not read {missing}"
        case AttemptFailed(attempt=attempt, worker=worker, error=error):
            return attempt.task.job, f"{name(attempt)} failed on {worker}: {gist(error)}"
        case AttemptReturned(attempt=attempt, worker=worker):
            return attempt.task.job, f"{worker} gives {name(attempt)} back"
        case CommitFailed(job=job, error=error):
            return job, f"the commit failed: {gist(error)}"
    return None


def _beginning(event: JobStarted) -> str:
    step = step_of(event.job)
    tasks = f"{len(event.map_nodes)} map and {len(event.reduce_nodes)} reduce tasks"
    if event.resumed:
        return f"takes over step {step}: {len(event.done)} of {tasks} are done"
    return f"begins step {step}: {tasks}"


def _of_action(action: Action) -> tuple[str, str] | None:
    match action:
        case RunAttempt(attempt=attempt, worker=worker, locality=locality, backup=backup):
            copy = ", a copy of one that is slow" if backup else ""
            return attempt.task.job, f"gives {name(attempt)} to {worker} ({locality.value}){copy}"
        case AttemptWon(attempt=attempt, worker=worker):
            return attempt.task.job, f"{name(attempt)} is done, by {worker}"
        case KillAttempt(attempt=attempt, worker=worker):
            return attempt.task.job, f"kills {name(attempt)} on {worker}"
        case OutputLost(task=task):
            return task.job, f"the output of {name(task)} is lost: it runs again"
        case CommitJob(job=job):
            return job, "all tasks are done: commits"
    return None
