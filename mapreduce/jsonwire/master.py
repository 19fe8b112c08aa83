"""The JSON master as a state machine: `Master.handle(event, now) -> list[Action]`.

An event is a message that came, or what the shell tells of an action
(`mapreduce.jsonwire.actions`). Tasks and living workers are the matter of the engine's scheduler:
each phase of a job, map, group and reduce, is to it a job of its own, whose tasks may run
anywhere. What it does not know is here: one job at a time, what follows after a phase, and the
protocol.

- All tasks of a phase are given out at once, evenly; so a worker has as many slots as anybody
  wants. There are no backups: nobody gets a task that a living worker has.
- A worker is dead after more than `missed` heartbeats in a row, or when it accepts no connection
  for as long. It stays in the table; its tasks go to the others. What it still answers is for
  tasks that are no longer its own, and passed over. Heartbeats bring it back, without its tasks;
  one that could not be reached has to register again. Who registers at the port of another has
  taken its place: two can't listen there.
- An answer does not name its task. It is the answer to that task of the worker which has these
  files as its outputs.
"""

import math
from collections import deque
from collections.abc import Iterable

import msgspec

from mapreduce.engine.events import (
    AttemptId,
    AttemptSucceeded,
    CommitJob,
    JobCommitted,
    JobEnded,
    JobStarted,
    JobState,
    KillAttempt,
    RunAttempt,
    WorkerLost,
    WorkerReported,
)
from mapreduce.engine.events import Event as SchedulerEvent
from mapreduce.engine.events import Tick as SchedulerTick
from mapreduce.engine.scheduler import Policy, Scheduler
from mapreduce.jsonwire.actions import (
    Action,
    CopyOutput,
    Drop,
    Event,
    FilesDone,
    FilesFailed,
    Group,
    InputListed,
    ListInput,
    MakeFolders,
    Report,
    Send,
    Stop,
    Tick,
    Undelivered,
)
from mapreduce.jsonwire.jobs import Job
from mapreduce.jsonwire.messages import (
    AnyMessage,
    Heartbeat,
    NewMasterJob,
    Order,
    Register,
    RegisterAck,
    Shutdown,
    Status,
)
from mapreduce.jsonwire.tables import KnownWorker, Phase, RunningJob

HEARTBEAT_S = 2.0
MISSED = 5
SLOTS = 1_000_000_000
"""A worker takes any number of tasks and does them in order."""
LAST_WORDS_S = 1.0
"""How long a worker that begins to listen late is told to shut down."""


class Master:
    """All workers and jobs of one master.

    >>> master = Master()
    >>> register = Register(worker_host="127.0.0.1", worker_port=6001, worker_pid=7)
    >>> ack, report = master.handle(register, now=0.0)
    >>> ack.port, ack.message
    (6001, RegisterAck(worker_host='127.0.0.1', worker_port=6001, worker_pid=7))
    >>> master.workers[7].state.value
    'ready'
    """

    def __init__(self, heartbeat_s: float = HEARTBEAT_S, missed: int = MISSED) -> None:
        self.workers: dict[int, KnownWorker] = {}
        self.patience_s = heartbeat_s * (missed + 1)
        policy = Policy(worker_timeout_s=self.patience_s, order_timeout_s=math.inf)
        self._scheduler = Scheduler(policy)
        self._jobs = 0
        self._waiting: deque[Job] = deque()
        self._running: RunningJob | None = None
        self._now = 0.0
        self._actions: list[Action] = []

    def handle(self, event: AnyMessage | Event, now: float) -> list[Action]:
        """What is to be done because of `event`, which came at `now`, in seconds and never less
        than at the call before."""
        self._now, self._actions = now, []
        match event:
            case Tick():
                self._schedule(SchedulerTick())
            case Heartbeat():
                self._heartbeat(event)
            case Register():
                self._register(event)
            case NewMasterJob():
                self._new_job(event)
            case Status():
                self._status(event)
            case Undelivered():
                self._undelivered(event)
            case InputListed() | FilesDone() | FilesFailed():
                self._files(event)
            case Shutdown():
                self._shut_down()
                return self._actions
            case _:
                self._report(f"{type(event).__name__} is nothing that a master is told; ignored")
        self._begin_next()
        return self._actions

    # Workers --------------------------------------------------------------------------------------

    def _register(self, told: Register) -> None:
        for other in self._at(told.worker_host, told.worker_port):
            if other.pid != told.worker_pid:
                self._give_up_worker(other, "has gone: another listens at its port")
        if told.worker_pid in self.workers:  # it begins anew: nothing of before is under way there
            self._schedule(WorkerLost(str(told.worker_pid)))
        new = KnownWorker(told.worker_pid, told.worker_host, told.worker_port)
        worker = self.workers.setdefault(told.worker_pid, new)
        worker.host, worker.port, worker.unreachable = told.worker_host, told.worker_port, False
        self._send(worker, _acknowledgement(told))
        self._report(f"{worker} has registered")
        self._alive(worker)

    def _heartbeat(self, told: Heartbeat) -> None:
        worker = self.workers.get(told.worker_pid)
        if worker and not worker.unreachable:
            if worker.dead:
                self._report(f"{worker} is back")
            self._alive(worker)

    def _alive(self, worker: KnownWorker) -> None:
        worker.dead = False
        self._schedule(WorkerReported(str(worker.pid), node="", slots=SLOTS))

    def _undelivered(self, told: Undelivered) -> None:
        for worker in self._at(told.host, told.port):
            self._give_up_worker(worker, f"takes no message: {told.error}")

    def _give_up_worker(self, worker: KnownWorker, why: str) -> None:
        worker.unreachable = True
        self._report(f"{worker} {why}")
        self._schedule(WorkerLost(str(worker.pid)))

    def _at(self, host: str, port: int) -> list[KnownWorker]:
        """The workers at an address that are not known to be dead."""
        at = (host, port)
        return [w for w in self.workers.values() if not w.dead and (w.host, w.port) == at]

    def _bury(self) -> None:
        """Mark those dead that the scheduler has given up."""
        living = {status.name for status in self._scheduler.workers()}
        for worker in self.workers.values():
            if not worker.dead and str(worker.pid) not in living:
                worker.dead = True
                self._report(f"{worker} is dead; its tasks go to others")
                if not self._at(worker.host, worker.port):
                    self._actions.append(Drop(worker.host, worker.port))

    @property
    def _living(self) -> int:
        return sum(not worker.dead for worker in self.workers.values())

    # Jobs -----------------------------------------------------------------------------------------

    def _new_job(self, wanted: NewMasterJob) -> None:
        job = Job(self._jobs, wanted)
        self._jobs += 1
        self._waiting.append(job)
        folders = [job.mapper_output, job.grouper_output, job.reducer_output]
        self._actions.append(MakeFolders(folders))
        if self._running or not self._living:
            self._report(f"{job.name} waits: {'another runs' if self._living else 'no worker'}")

    def _begin_next(self) -> None:
        if self._waiting and not self._running and self._living:
            job = self._waiting.popleft()
            self._running = RunningJob(job, self._now)
            wanted = job.wanted
            executables = wanted.mapper_executable, wanted.reducer_executable
            self._actions.append(ListInput(job.id, wanted.input_directory, executables))

    def _files(self, told: InputListed | FilesDone | FilesFailed) -> None:
        """The master's own work on files has ended."""
        running = self._running
        if not running or told.job != running.job.id:
            return
        match told, running.phase:
            case FilesFailed(error=error), _:
                self._give_up(running, error)
            case InputListed(files=files, lacking=lacking), Phase.LIST:
                self._warn(running.job, lacking)
                self._begin_phase(running, Phase.MAP, running.job.map_tasks(files))
            case FilesDone(missing=missing), Phase.SPLIT:
                running.missing += missing
                self._begin_phase(running, Phase.REDUCE, running.job.reduce_tasks())
            case FilesDone(missing=missing, older=older), Phase.COPY:
                running.missing += missing
                self._done(running, older)

    def _warn(self, job: Job, lacking: tuple[str, ...]) -> None:
        """Whether something can be run is for each worker to find out; but it saves a search."""
        for name in lacking:
            what = f"{name!r} is no executable file here, and no program in PATH"
            self._report(f"{job.name}: {what}; where it can't be run, its output is empty")

    def _begin_phase(self, running: RunningJob, phase: Phase, orders: Iterable[Order]) -> None:
        running.phase, running.orders = phase, list(orders)
        self._report(f"{running.job.name}: {phase}, {len(running.orders)} tasks")
        tasks = ((),) * len(running.orders)
        self._schedule(JobStarted(f"{running.job.name}/{phase}", tasks, (), backups=False))

    def _phase_done(self, running: RunningJob) -> None:
        job = running.job
        if running.phase is Phase.MAP:
            orders = job.sort_tasks(running.outputs, max(1, self._living))
            self._begin_phase(running, Phase.GROUP, orders)
        elif running.phase is Phase.GROUP:
            running.phase = Phase.SPLIT
            self._actions.append(Group(job.id, running.outputs, job.groups, job.folder))
        elif running.phase is Phase.REDUCE:
            running.phase = Phase.COPY
            where = job.wanted.output_directory
            self._actions.append(CopyOutput(job.id, running.outputs, where))

    def _done(self, running: RunningJob, older: tuple[str, ...]) -> None:
        took_s, where = self._now - running.began, running.job.wanted.output_directory
        self._report(f"{running.job.name} is done in {took_s:.1f} s; its output is in {where}")
        if missing := ", ".join(running.missing):
            self._report(f"that is not whole: no worker has written {missing}, though it said so")
        if older:
            names = ", ".join(older)
            self._report(f"{where} also has {names}, which are not of {running.job.name}")
        self._running = None

    def _give_up(self, running: RunningJob, error: str) -> None:
        job = running.job
        kept = f"; its results are in {job.reducer_output}" if running.phase is Phase.COPY else ""
        self._report(f"{job.name} is given up in its phase {running.phase}: {error}{kept}")
        self._running = None

    # Tasks ----------------------------------------------------------------------------------------

    def _schedule(self, event: SchedulerEvent) -> None:
        for action in self._scheduler.handle(event, self._now):
            match action:
                case RunAttempt(worker=name, attempt=attempt):
                    self._order(self.workers[int(name)], attempt)
                case KillAttempt(worker=name, attempt=attempt):  # which the protocol can't say
                    self.workers[int(name)].tasks.pop(attempt, None)
                case CommitJob(job=phase):
                    self._schedule(JobCommitted(phase))
                case JobEnded(job=phase, state=state, error=error):
                    self._phase_ended(phase, state, error)
        self._bury()

    def _order(self, worker: KnownWorker, attempt: AttemptId) -> None:
        if self._running:
            order = self._running.orders[attempt.task.index]
            worker.tasks[attempt] = order
            self._send(worker, _addressed(order, worker.pid))

    def _phase_ended(self, phase: str, state: JobState, error: str) -> None:
        self._scheduler.forget(phase)
        if self._running and state is JobState.SUCCEEDED:
            self._phase_done(self._running)
        elif self._running:
            self._give_up(self._running, error)

    def _status(self, told: Status) -> None:
        answering = self.workers.get(told.worker_pid)
        if answering and (attempt := answering.answered(told)):
            del answering.tasks[attempt]
            self._schedule(AttemptSucceeded(attempt, str(answering.pid)))
            return
        of = (
            f"{answering} ({answering.state})" if answering else f"unknown worker {told.worker_pid}"
        )
        self._report(f"{of} answers for what is not its task: {told.outputs}; ignored")

    # Words ----------------------------------------------------------------------------------------

    def _shut_down(self) -> None:
        """Tell each address once, before all that still waits for being sent there."""
        for host, port in dict.fromkeys((w.host, w.port) for w in self.workers.values()):
            patience_s = LAST_WORDS_S if self._at(host, port) else 0.0
            self._actions += [Drop(host, port), Send(host, port, Shutdown(), patience_s)]
        self._actions.append(Stop(flush_s=2 * LAST_WORDS_S))

    def _send(self, worker: KnownWorker, message: AnyMessage) -> None:
        self._actions.append(Send(worker.host, worker.port, message, self.patience_s))

    def _report(self, text: str) -> None:
        self._actions.append(Report(text))


def _acknowledgement(told: Register) -> RegisterAck:
    return RegisterAck(
        worker_host=told.worker_host, worker_port=told.worker_port, worker_pid=told.worker_pid
    )


def _addressed(order: Order, pid: int) -> Order:
    return msgspec.structs.replace(order, worker_pid=pid)
