"""A JSON master without sockets and files: tests say what comes, and look at what it does."""

from collections.abc import Iterable

from mapreduce.jsonwire.actions import (
    Action,
    CopyOutput,
    FilesDone,
    Group,
    InputListed,
    ListInput,
    Report,
    Send,
    Tick,
)
from mapreduce.jsonwire.master import Master
from mapreduce.jsonwire.messages import (
    AnyMessage,
    Heartbeat,
    NewMasterJob,
    NewSortJob,
    NewWorkerJob,
    Order,
    Register,
    RegisterAck,
    Status,
)

FILES = [f"in/f{i}" for i in range(5)]
JOB = NewMasterJob("in", "out", "map.py", "reduce.py", num_mappers=4, num_reducers=2)
Given = list[tuple[int, Order]]


def register(pid: int) -> Register:
    """Worker n listens at port 6000 + n."""
    return Register("127.0.0.1", 6000 + pid, pid)


class Play:
    """A master with living workers of these pids, at a time that only `at` moves on."""

    def __init__(self, *pids: int) -> None:
        self.master = Master()
        self.now = 0.0
        self.files = FILES
        self.register(*pids)

    def register(self, *pids: int) -> None:
        for pid in pids:
            self.tell(register(pid))

    def tell(self, *events: object) -> list[Action]:
        """What the master does of each, one after the other; reports are left out."""
        return [
            action
            for event in events
            for action in self.master.handle(event, self.now)  # type: ignore[arg-type]
            if not isinstance(action, Report)
        ]

    def given(self, *events: object) -> Given:
        """Who is given what, the master's own work on files being done at once."""
        given: Given = []
        waiting = self.tell(*events)
        while waiting:
            action = waiting.pop(0)
            if isinstance(action, Send) and isinstance(action.message, Order):
                assert action.port == 6000 + action.message.worker_pid
                given.append((action.message.worker_pid, action.message))
            waiting += self.tell(*self.done(action))
        return given

    def done(self, action: Action) -> list[InputListed | FilesDone]:
        """What the shell tells when the master's own work is done."""
        if isinstance(action, ListInput):
            return [InputListed(action.job, self.files)]
        return [FilesDone(action.job)] if isinstance(action, Group | CopyOutput) else []

    def finish(self, given: Given) -> Given:
        """All of these tasks are answered; what is given then."""
        return [new for pid, order in given for new in self.given(answer(pid, order))]

    def sleep(self, seconds: float, *beating: int) -> list[Action]:
        """Time passes, in which only these workers send heartbeats, each second."""
        actions: list[Action] = []
        for _ in range(round(seconds)):
            self.now += 1.0
            actions += self.tell(*map(Heartbeat, beating), Tick())
        return actions

    def states(self) -> dict[int, str]:
        return {pid: worker.state.value for pid, worker in self.master.workers.items()}


def answer(pid: int, order: Order) -> Status:
    if isinstance(order, NewSortJob):
        return Status(output_file=order.output_file, status="finished", worker_pid=pid)
    return Status(output_files=order.outputs, status="finished", worker_pid=pid)


def orders(actions: Iterable[Action]) -> Given:
    sent = [a.message for a in actions if isinstance(a, Send)]
    return [(m.worker_pid, m) for m in sent if isinstance(m, Order)]


def map_order(pid: int, files: list[str], job: int = 0) -> tuple[int, NewWorkerJob]:
    return pid, NewWorkerJob(files, "map.py", f"var/job-{job}/mapper-output", pid)


def reduce_order(pid: int, index: int, job: int = 0) -> tuple[int, NewWorkerJob]:
    group = f"var/job-{job}/grouper-output/input_{index}"
    return pid, NewWorkerJob([group], "reduce.py", f"var/job-{job}/reducer-output", pid)


def sort_order(pid: int, files: list[str], index: int, job: int = 0) -> tuple[int, NewSortJob]:
    mapped = [f"var/job-{job}/mapper-output/{file}" for file in files]
    return pid, NewSortJob(mapped, f"var/job-{job}/grouper-output/sorted_{index}", pid)


def acks(actions: list[Action]) -> list[AnyMessage]:
    return [
        a.message for a in actions if isinstance(a, Send) and isinstance(a.message, RegisterAck)
    ]
