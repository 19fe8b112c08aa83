"""Specifications for tests: jobs of one step, from a source file's classes."""

from typing import Any

from mapreduce.data.inputs import InputSpec
from mapreduce.engine.orders import Code, JobSpec, StepSpec

_OF_STEP = StepSpec.__struct_fields__


def job_spec(name: str = "wc", inputs: tuple[str, ...] = ("/books",), **fields: Any) -> JobSpec:
    """A job over `inputs`; `fields` are those of `JobSpec` or of its only `StepSpec`."""
    step = {field: fields.pop(field) for field in _OF_STEP if field in fields}
    fields.setdefault("output", f"/out/{name}")
    fields.setdefault("code", Code(filename="wc.py"))
    fields.setdefault("steps", (StepSpec(**step),))
    input_format = fields.pop("input_format", "text")
    return JobSpec(
        name=name, inputs=tuple(InputSpec(path, input_format) for path in inputs), **fields
    )
