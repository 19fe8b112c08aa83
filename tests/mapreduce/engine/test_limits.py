"""Limits of tasks: their errors say which one, how much it was, and how to raise it."""

import sys
import tempfile

import pytest

from mapreduce.engine import checks
from mapreduce.errors import JobError
from tests.mapreduce.engine.bench import Bench
from tests.mapreduce.specs import job_spec

MIB = 1 << 20


def test_an_attempt_is_ended_at_its_time_limit(bench: Bench) -> None:
    bench.run("pass")
    outcome = bench.run("print('so far')\nwhile True: pass", time_limit_s=1.0)
    assert "time limit of 1 s" in outcome.error
    assert "--time-limit" in outcome.error
    assert "so far" in outcome.error
    assert bench.run("print('next')", number=2, time_limit_s=60.0).output == "next\n"


@pytest.mark.skipif(sys.platform != "linux", reason="macOS has no such limit")
def test_memory_beyond_the_limit_is_refused_and_the_next_task_has_its_own(bench: Bench) -> None:
    limit = {"memory_bytes": 16 * MIB, "memory_limit_bytes": 64 * MIB}
    outcome = bench.run("self.held = bytearray(200 << 20)", **limit)
    assert "MemoryError" in outcome.error
    assert "memory limit of 64 MiB" in outcome.error
    assert "--memory-limit" in outcome.error
    assert bench.run("self.held = bytearray(40 << 20)", number=2, **limit).error == ""
    assert bench.run("self.held = bytearray(200 << 20)", number=3).error == ""


def test_a_process_that_dies_under_a_memory_limit_is_told_of_it(bench: Bench) -> None:
    outcome = bench.run("os.abort()", memory_bytes=16 * MIB, memory_limit_bytes=64 * MIB)
    assert "SIGABRT" in outcome.error
    assert "memory limit of 64 MiB" in outcome.error


def test_a_full_disk_is_told_with_its_machine_folder_and_room(bench: Bench) -> None:
    outcome = bench.run("with open('/dev/full', 'w') as full: full.write('x')")
    assert "No space left on device" in outcome.error
    assert "on this machine" in outcome.error
    assert "bytes are free in" in outcome.error


def test_a_disk_with_no_room_for_a_process_fails_the_attempt_and_not_the_slot(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.run("pass")
    with monkeypatch.context() as changed:
        changed.setenv("TMPDIR", "/nowhere")
        changed.setattr(tempfile, "tempdir", "/nowhere")
        bench.run("os._exit(1)", number=2)
        outcome = bench.run("pass", number=3)
    assert "no process could be started" in outcome.error
    assert "on this machine" in outcome.error
    assert bench.run("pass", number=4).error == ""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"time_limit_s": -1.0}, "time_limit_s"),
        ({"memory_limit_bytes": 1 * MIB}, "the limit has to be more"),
        ({"skip_bad_records": -1}, "skip_bad_records"),
        ({"priority": 0.0}, "priority"),
        ({"slow_start": 1.5}, "slow_start"),
    ],
)
def test_a_limit_that_can_not_be_is_refused(fields: dict, said: str) -> None:
    with pytest.raises(JobError, match=said):
        checks.check(job_spec(**fields))
