"""Tasks as people name them."""

import re
from typing import Any, Literal, NamedTuple

from mapreduce.errors import JobError

_TASK = re.compile(r"(?:(?P<step>\d+)/)?(?P<kind>map|reduce)-(?P<index>\d+)(?:\.\d+)?")


class TaskName(NamedTuple):
    """A task as people name it; `step` counts from 0."""

    step: int
    kind: Literal["map", "reduce"]
    number: int


def parse_task(text: str) -> TaskName:
    """A task's name: map-00003, its attempt map-00003.1, or 2/map-00003 of the second step.

    >>> parse_task("map-00003.1"), parse_task("2/reduce-1")
    (TaskName(step=0, kind='map', number=3), TaskName(step=1, kind='reduce', number=1))
    """
    found = _TASK.fullmatch(text)
    if found is None:
        raise JobError(f"{text!r} names no task; one is map-00003, or 2/map-00003 of step 2")
    kind: Any = found["kind"]
    return TaskName(int(found["step"] or 1) - 1, kind, int(found["index"]))
