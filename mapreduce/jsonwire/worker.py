"""The JSON worker as a state machine: a message in, what is to be done out.

It knows nothing of jobs or of what kind a task is. Tasks are done one at a time in the order in
which they came, and each is answered once, with the worker's own pid whatever the message named.
Heartbeats begin with the first `register_ack`. When the master has gone the worker begins anew: its
tasks are nobody's any more, and would write into the folders of the next master's jobs.
"""

from collections import deque

from mapreduce.jsonwire.actions import (
    Abandon,
    Action,
    BeginHeartbeats,
    Drop,
    Event,
    MasterGone,
    Perform,
    Performed,
    Report,
    Send,
    Stop,
    Undelivered,
)
from mapreduce.jsonwire.messages import (
    FINISHED,
    AnyMessage,
    NewSortJob,
    NewWorkerJob,
    Order,
    Register,
    RegisterAck,
    Shutdown,
    Status,
)

HOST = "127.0.0.1"
FOREVER_S = float("inf")


class Worker:
    """The worker with this process id, which listens at `port` of this machine.

    >>> worker = Worker(pid=7, port=6001, master_port=6000, patience_s=12.0)
    >>> [register] = worker.begin()
    >>> register.port, register.message
    (6000, Register(worker_host='127.0.0.1', worker_port=6001, worker_pid=7))
    >>> worker.handle(RegisterAck(worker_host=HOST, worker_port=6001, worker_pid=7))
    [BeginHeartbeats()]
    >>> worker.handle(Shutdown())
    [Stop(flush_s=0.0)]
    """

    def __init__(self, pid: int, port: int, master_port: int, patience_s: float) -> None:
        self.pid = pid
        self.port = port
        self.master_port = master_port
        self.patience_s = patience_s
        self._orders: deque[Order] = deque()
        """The first one is under way."""
        self._beating = False

    def begin(self) -> list[Action]:
        """What is to be done once it listens: the master may start later than its workers."""
        register = Register(worker_host=HOST, worker_port=self.port, worker_pid=self.pid)
        return [Send(HOST, self.master_port, register, FOREVER_S)]

    def handle(self, event: AnyMessage | Event) -> list[Action]:
        match event:
            case RegisterAck():
                return self._acknowledged()
            case NewWorkerJob() | NewSortJob():
                return self._ordered(event)
            case Performed(order=order):
                return self._performed(order)
            case MasterGone():
                return self._begin_anew()
            case Shutdown():
                return [Stop()]
            case Undelivered(error=error):
                return [Report(f"the master on port {self.master_port} takes no answer: {error}")]
        return [Report(f"{type(event).__name__} is nothing that a worker is told; ignored")]

    def _acknowledged(self) -> list[Action]:
        if self._beating:
            return []
        self._beating = True
        return [BeginHeartbeats()]

    def _ordered(self, order: Order) -> list[Action]:
        self._orders.append(order)
        return [Perform(order)] if len(self._orders) == 1 else []

    def _begin_anew(self) -> list[Action]:
        self._beating = False
        self._orders.clear()
        gone = Report(f"the master at port {self.master_port} has gone; waits for another")
        return [gone, Abandon(), Drop(HOST, self.master_port), *self.begin()]

    def _performed(self, done: Order) -> list[Action]:
        if not self._orders or self._orders[0] is not done:
            return []  # it was for a master that has gone
        self._orders.popleft()
        answer = Send(HOST, self.master_port, self._status(done), self.patience_s)
        following = [Perform(self._orders[0])] if self._orders else []
        return [answer, *following]

    def _status(self, done: Order) -> Status:
        if isinstance(done, NewSortJob):
            return Status(output_file=done.output_file, status=FINISHED, worker_pid=self.pid)
        return Status(output_files=done.outputs, status=FINISHED, worker_pid=self.pid)
