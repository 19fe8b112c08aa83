"""The tasks of a stage that wait, found by the place of a free worker in a step or two.

A task stands in a line for each node and each machine that has its data, and in a heap by the
moment from which it takes any worker. Lines keep their order and lose tasks in the middle, so they
are OrderedDicts, which find their first entry at once even after many were removed. Entries of the
heap stay until they come up; a task's `turn` tells whether one is out of date.
"""

import heapq
import math
from collections import OrderedDict

from mapreduce.engine.ledger import Task

Line = OrderedDict[int, Task]
"""Tasks by index, in the order in which they began to wait."""


class Waiting:
    """Tasks that wait for a slot; `len` counts them."""

    def __init__(self) -> None:
        self.at_node: dict[str, Line] = {}
        self.at_host: dict[str, Line] = {}
        self.host_from = math.inf
        """No task takes a worker for its machine before."""
        self._anywhere: list[tuple[float, int, Task]] = []
        self._last_turn = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, task: Task, hosts: tuple[str, ...], host_from: float, any_from: float) -> None:
        """`task` waits: from `host_from` on for a worker on one of `hosts` too, from `any_from` on
        for any. A task that waits already stays where it is."""
        if task.turn:
            return
        self._last_turn += 1
        self._count += 1
        task.turn, task.hosts, task.host_from = self._last_turn, hosts, host_from
        for node in task.nodes:
            self.at_node.setdefault(node, OrderedDict())[task.id.index] = task
        for host in hosts:
            self.at_host.setdefault(host, OrderedDict())[task.id.index] = task
        if hosts:
            self.host_from = min(self.host_from, host_from)
        heapq.heappush(self._anywhere, (any_from, task.turn, task))

    def remove(self, task: Task) -> None:
        """`task` waits no longer, if it did."""
        if not task.turn:
            return
        task.turn = 0
        self._count -= 1
        _leave(self.at_node, task.nodes, task)
        _leave(self.at_host, task.hosts, task)
        if not self._count:
            self.host_from = math.inf
            self._anywhere.clear()

    def settled(self, now: float, most: int = 1) -> list[Task]:
        """Of the tasks that take any worker the `most` that have done so longest."""
        entries: list[tuple[float, int, Task]] = []
        while len(entries) < most and self._anywhere and self._anywhere[0][0] <= now:
            entry = self._anywhere[0]
            if entry[1] == entry[2].turn and most == 1:
                return [entry[2]]
            heapq.heappop(self._anywhere)
            if entry[1] == entry[2].turn:
                entries.append(entry)
        for entry in entries:
            heapq.heappush(self._anywhere, entry)
        return [task for _, _, task in entries]


def _leave(lines: dict[str, Line], places: tuple[str, ...], task: Task) -> None:
    for place in places:
        if line := lines.get(place):
            line.pop(task.id.index, None)
            if not line:
                del lines[place]
