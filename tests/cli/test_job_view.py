"""What people read of a job, from records as the master gives them."""

from typing import Any

import msgspec

from cli import job_view
from mapreduce.cluster.records import JobRecord, StageRecord, TaskRecord
from mapreduce.engine.events import JobState

RUNNING = JobRecord(
    name="wc",
    state=JobState.RUNNING,
    inputs=("/books",),
    output="/out/wc",
    output_format="text",
    created_at=0.0,
    started_at=10.0,
    map=StageRecord(
        total=10,
        done=4,
        running=2,
        waiting=4,
        waits={"for a free slot": 3, "for another try after it failed": 1},
        rate=0.5,
        seconds_left=12.0,
        seconds=8.0,
        failed_attempts=1,
        localities={"node": 3, "remote": 1},
    ),
    tasks=(TaskRecord(attempt="map-00004.1", worker="w1", seconds=3.0, progress=0.25),),
    slowest=(TaskRecord(attempt="1/map-00002.1", worker="w2", seconds=70.0),),
    first_error="map-00001 on w2: Traceback (most recent call last):\nValueError: my own",
    set_aside=("w2",),
    backups=1,
)


def summary(**changes: Any) -> list[str]:
    return job_view.summary(msgspec.to_builtins(msgspec.structs.replace(RUNNING, **changes)))


def test_a_running_job_tells_what_waits_and_why_how_fast_it_goes_and_what_went_wrong() -> None:
    head, *lines = summary()
    assert head.startswith("job wc: running for ")
    assert lines == [
        "  map      4 of 10 tasks in 8.00 s; 2 running; "
        "4 waiting (3 for a free slot, 1 for another try after it failed); "
        "0.5 a second, 12.00 s left; 3 beside their data, 1 elsewhere; 1 attempt failed",
        "  running  map-00004.1 on w1 for 3.00 s, 25%",
        "  slowest  1/map-00002.1 on w2: 1 min 10 s",
        "  1 slow task started a second time",
        "  set aside, as too much failed there: w2",
        "  the first error, of a task that was tried again",
        "    map-00001 on w2: Traceback (most recent call last):",
        "    ValueError: my own",
    ]


def test_an_error_is_told_once_and_nothing_waits_in_a_job_that_has_ended() -> None:
    error = "map-00001 failed in all 4 attempts; the last one said:\n"
    said = "Traceback (most recent call last):\nValueError: my own"
    lines = summary(state=JobState.FAILED, error=error + said, ended_at=20.0, tasks=())
    assert sum("ValueError: my own" in line for line in lines) == 1
    assert not any("waiting" in line for line in lines)
    assert lines[0] == "job wc: failed in 10.00 s"


def test_a_paused_job_is_said_to_be() -> None:
    assert summary(paused=True)[0].startswith("job wc: running, paused, for ")
    record = msgspec.to_builtins(msgspec.structs.replace(RUNNING, paused=True))
    assert job_view.job_row(record)[:2] == ("wc", "paused")


def test_the_first_of_the_records_that_were_left_out_are_shown() -> None:
    skipped = [
        {"step": 1, "input": "/in", "position": str(n), "error": "ValueError: no"}
        for n in range(12)
    ]
    lines = summary(skipped=tuple(skipped))
    start = lines.index("  skipped")
    assert lines[start + 1] == "    /in 0: ValueError: no"
    assert lines[start + 11].startswith("    and 2 more")
