"""An attempt that dies after it has written, and the one that takes its place, leave no trace."""

import os
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Input, Job, Mapper, Reducer, Step
from tests.mapreduce.battery import sequential
from tests.mapreduce.battery.sequential import written_file

PAIRS = 10_000
"""So many that some of them are written when the attempt dies."""


class DiesOnce:
    """Ends its process at the end of its task, once."""

    context: Any

    def emit_and_give(self, key):
        for number in range(PAIRS):
            self.context.emit(key, number, to="seen")
            yield key, number
        self.context.count("given", PAIRS)

    def cleanup(self):
        mark = Path(self.context.params["mark"])
        if not mark.exists():
            mark.touch()
            os._exit(9)


class DyingMapper(DiesOnce, Mapper):
    def map(self, key, value):
        yield from self.emit_and_give(value)


class DyingReducer(DiesOnce, Reducer):
    def reduce(self, key, values):
        yield from self.emit_and_give((key, len(list(values))))


LAST_STEPS = {
    "a map without a reducer": [Step(mapper=DyingMapper)],
    "a map of the second step": [Step(mapper=Mapper), Step(mapper=DyingMapper)],
    "a map of the second step with reducers": [
        Step(reducer=Reducer),
        Step(mapper=DyingMapper, reducer=Reducer, reducers=2),
    ],
    "a reduce of the second step": [
        Step(reducer=Reducer),
        Step(mapper=Mapper, reducer=DyingReducer, reducers=1),
    ],
}


@pytest.mark.parametrize("steps", LAST_STEPS.values(), ids=LAST_STEPS.keys())
def test_a_dead_attempt_leaves_no_trace(steps: list[Step], tmp_path: Path) -> None:
    mark, out = tmp_path / "mark", tmp_path / "out"
    job = Job("dies", steps=steps, outputs={"seen": "text"}, params={"mark": mark})
    (tmp_path / "in").write_bytes(b"a\nb\n")
    mark.touch()
    given = sequential.read(job, [Input("in")], {"in": b"a\nb\n"})
    expected = sequential.evaluate(job, given)
    mark.unlink()

    result = job.run(tmp_path / "in", output=out, processes=1)

    stages = [stage for step in result.summary["steps"] for stage in (step["map"], step["reduce"])]
    assert sum(stage["failed_attempts"] + stage["lost_attempts"] for stage in stages) == 1
    assert result.counters["given"] == expected.counters["given"]
    [((name, kind), by_task)] = expected.named.items()
    files = {f"part-{task:05d}": pairs for task, pairs in enumerate(expected.main)}
    files |= {f"{name}-{kind}-{task:05d}": pairs for task, pairs in by_task.items()}
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    assert written.pop("_SUCCESS")
    assert written == {path: written_file("text", pairs) for path, pairs in files.items()}
