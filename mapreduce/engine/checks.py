"""What every job has to be, wherever it runs: checked before anything is read or changed."""

from mapreduce.data import formats, outputs
from mapreduce.engine import paths
from mapreduce.engine.orders import JobSpec
from mapreduce.errors import JobError

REDUCERS_LIMIT = 10_000
STEPS_LIMIT = 1_000


def check(spec: JobSpec) -> None:
    """Raise `JobError` for numbers, names and formats that can't be.

    >>> check(JobSpec(name="wc", inputs=(), output="/out", max_attempts=0))
    Traceback (most recent call last):
        ...
    mapreduce.errors.JobError: max_attempts is a number from 1 to 100, not 0
    """
    paths.check_job_name(spec.name)
    _check_numbers(spec)
    for given in spec.inputs:
        formats.reading(given.format)
        if given.mapper < 0:
            raise JobError(f"the mapper of an input is counted from 1, not {given.mapper}")
    _check_outputs(spec)


def _check_numbers(spec: JobSpec) -> None:
    for name, number, least, most in (
        ("the number of steps", len(spec.steps), 1, STEPS_LIMIT),
        *(("reducers", step.reducers, 0, REDUCERS_LIMIT) for step in spec.steps),
        ("max_attempts", spec.max_attempts, 1, 100),
        ("split_bytes", spec.split_bytes, 1, 1 << 40),
        ("least_split_bytes", spec.least_split_bytes, 0, spec.split_bytes),
        ("memory_bytes", spec.memory_bytes, 1 << 20, 1 << 40),
        ("time_limit_s", spec.time_limit_s, 0, 10**9),
        ("memory_limit_bytes", spec.memory_limit_bytes, 0, 1 << 50),
        ("skip_bad_records", spec.skip_bad_records, 0, 10**9),
        ("priority", spec.priority, 0.001, 1000),
        ("max_running", spec.max_running, 0, 10**9),
        ("slow_start", spec.slow_start, 0, 1),
    ):
        if not least <= number <= most:
            raise JobError(f"{name} is a number from {least} to {most:,}, not {number}")
    if 0 < spec.memory_limit_bytes < spec.memory_bytes:
        raise JobError(
            f"memory_limit_bytes is {spec.memory_limit_bytes:,}, and a task is to hold "
            f"{spec.memory_bytes:,} before it spills (memory_bytes): the limit has to be more"
        )


def _check_outputs(spec: JobSpec) -> None:
    written = formats.writing(spec.output_format)
    if spec.merged and not written.mergeable:
        raise JobError(
            f"files of the format {spec.output_format!r} can't be put one behind the other: "
            "leave out merged, or choose another format"
        )
    for name, output_format in spec.outputs.items():
        formats.writing(output_format)
        outputs.check_output_name(name)
