"""How a job is set up: Hadoop's setters, what is wrong with what they were given, and the
`mapreduce.Job` that comes of it."""

import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapreduce import job as engine
from mapreduce.api import Input, Step
from mapreduce.errors import JobError
from mapreduce.hadoop.settings import (
    Configuration,
    HashPartitioner,
    KeyPartitioner,
    Partitioner,
    Settings,
    TotalOrderPartitioner,
    WritableComparator,
    has_own_hash,
)
from mapreduce.hadoop.tasks import CombineTask, Mapper, MapTask, Reducer, ReduceTask, factory
from mapreduce.hadoop.writables import (
    LongWritable,
    NullWritable,
    Text,
    Writable,
    WritableComparable,
)

FORMATS = {
    "TextInputFormat": "text",
    "KeyValueTextInputFormat": "pairs",
    "SequenceFileInputFormat": "pickle",
    "TextOutputFormat": "text",
    "SequenceFileOutputFormat": "pickle",
}
"""Hadoop's names of formats, and what they are called here (docs/formats.md)."""

PROPERTIES: Mapping[str, tuple[str, Any]] = {
    "mapreduce.map.maxattempts": ("max_attempts", int),
    "mapreduce.input.fileinputformat.split.maxsize": ("split_bytes", int),
    "mapreduce.input.fileinputformat.split.minsize": ("least_split_bytes", int),
    "mapreduce.task.io.sort.mb": ("memory_bytes", lambda text: int(text) << 20),
    "mapreduce.job.reduce.slowstart.completedmaps": ("slow_start", float),
    "mapreduce.map.speculative": ("backups", lambda text: text.strip().lower() == "true"),
}
"""Properties of Hadoop's configuration that the engine has, and what they are called there."""

_CLASSES: Mapping[str, tuple[type, bool]] = {
    # The class that each has to be derived from, and whether it may be left out.
    "mapper_class": (Mapper, False),
    "reducer_class": (Reducer, False),
    "combiner_class": (Reducer, True),
    "partitioner_class": (Partitioner, True),
    "sort_comparator_class": (WritableComparator, True),
    "grouping_comparator_class": (WritableComparator, True),
    "output_key_class": (Writable, False),
    "output_value_class": (Writable, False),
    "map_output_key_class": (WritableComparable, True),
    "map_output_value_class": (Writable, True),
}


class JobSetup:
    """What a job is made of. Nothing is looked at before `validate`."""

    def __init__(
        self, name: str, configuration: Mapping[str, object] | None, runner: engine.Runner
    ) -> None:
        self.name = name
        self.configuration = Configuration()
        for key, value in (configuration or {}).items():
            self.configuration.set(key, value)
        self.runner = runner
        self.files: list[str | Path] = []
        self.modules: list[str | Path] = []
        self.named_outputs: dict[str, str] = {}
        self._given: dict[str, Any] = {
            "mapper_class": Mapper,
            "reducer_class": Reducer,
            "output_key_class": LongWritable,
            "output_value_class": Text,
        }
        self._num_reduce_tasks: int | None = None
        self._inputs: list[tuple[str | Path, str | None, Any]] = []
        self._output: str | Path | None = None
        self._input_format, self._output_format = "text", "text"

    # What it is made of --------------------------------------------------------------------------

    def set_job_name(self, name: str) -> None:
        self.name = name

    def set_mapper_class(self, mapper: type | str) -> None:
        self._given["mapper_class"] = mapper

    def set_reducer_class(self, reducer: type | str) -> None:
        self._given["reducer_class"] = reducer

    def set_combiner_class(self, combiner: type | str) -> None:
        self._given["combiner_class"] = combiner

    def set_partitioner_class(self, partitioner: type | str) -> None:
        self._given["partitioner_class"] = partitioner

    def set_sort_comparator_class(self, comparator: type | str) -> None:
        self._given["sort_comparator_class"] = comparator

    def set_grouping_comparator_class(self, comparator: type | str) -> None:
        self._given["grouping_comparator_class"] = comparator

    def set_map_output_key_class(self, kind: type | str) -> None:
        """If it is not that of the output."""
        self._given["map_output_key_class"] = kind

    def set_map_output_value_class(self, kind: type | str) -> None:
        """If it is not that of the output."""
        self._given["map_output_value_class"] = kind

    def set_output_key_class(self, kind: type | str) -> None:
        self._given["output_key_class"] = kind

    def set_output_value_class(self, kind: type | str) -> None:
        self._given["output_value_class"] = kind

    def set_num_reduce_tasks(self, number: int) -> None:
        """With 0 the mappers' pairs are the output."""
        self._num_reduce_tasks = number

    def set_input_format_class(self, name: str) -> None:
        """A format of docs/formats.md, or one of Hadoop's names for these (`FORMATS`)."""
        self._input_format = FORMATS.get(name, name)

    def set_output_format_class(self, name: str) -> None:
        self._output_format = FORMATS.get(name, name)

    def add_input_path(
        self, path: str | Path, input_format: str | None = None, mapper: type | str | None = None
    ) -> None:
        """One more input: a file, a folder or a glob, on a cluster of the store. With a format and
        a mapper of its own this is what Hadoop calls MultipleInputs."""
        input_format = FORMATS.get(input_format, input_format) if input_format else None
        self._inputs.append((path, input_format, mapper))

    def set_output_path(self, path: str | Path) -> None:
        """A folder that does not exist yet."""
        self._output = path

    def add_cache_file(self, path: str | Path) -> None:
        """A local file that goes with the job: a task finds it as `context.context.file(name)`."""
        self.files.append(path)

    def add_module(self, path: str | Path) -> None:
        """A Python module that the job's classes import: what `add_file_to_class_path` is."""
        self.modules.append(path)

    # Validation ----------------------------------------------------------------------------------

    def validate(self) -> None:
        """Raise `JobError` that lists all that is missing or wrong; nothing is sent."""
        self._checked(self._without_paths())

    def to_job(self) -> engine.Job:
        """The same as a `mapreduce.Job`, for a source file that `mapreduce run` or `new_job` gets;
        its paths may be left to these. Raises `JobError` as `validate`."""
        return self._checked([])

    def _without_paths(self) -> list[str]:
        wrong = [] if self._inputs else ["no input: call add_input_path"]
        return wrong + (["no output: call set_output_path"] if self._output is None else [])

    def _checked(self, wrong: list[str]) -> engine.Job:
        found = self._classes(wrong)
        mappers = [_found("mapper of an input", one, Mapper, wrong) for _, _, one in self._inputs]
        wrong += self._unfit(found)
        options = self._options(wrong)
        made = None
        if not wrong:
            try:
                made = self._made(found, mappers, options)
            except JobError as error:
                wrong.append(str(error))
        if made is None:
            listed = "".join(f"\n  - {one}" for one in wrong)
            raise JobError(f"the job {self.name!r} can't run as it is:{listed}")
        return made

    def _classes(self, wrong: list[str]) -> dict[str, Any]:
        found = {}
        for name, (base, may_miss) in _CLASSES.items():
            given = self._given.get(name)
            if given is None and not may_miss:
                wrong.append(f"set_{name}: None is no class")
            found[name] = _found(f"set_{name}", given, base, wrong)
        found["map_output_key_class"] = found["map_output_key_class"] or found["output_key_class"]
        found["map_output_value_class"] = (
            found["map_output_value_class"] or found["output_value_class"]
        )
        return found

    def _unfit(self, found: Mapping[str, Any]) -> list[str]:
        """What is wrong with classes that are of the right kind."""
        wrong = []
        key, combiner = found["map_output_key_class"], found["combiner_class"]
        if key is not None and not issubclass(key, WritableComparable):
            wrong.append(f"map output keys are sorted: {key.__name__} is no WritableComparable")
        for method in ("run", "cleanup") if combiner is not None else ():
            if getattr(combiner, method) is not getattr(Reducer, method):
                wrong.append(f"set_combiner_class: {combiner.__name__}.{method} is never called")
        return wrong

    def _options(self, wrong: list[str]) -> dict[str, Any]:
        """What the configuration says of things that the engine has."""
        options = {}
        for name, (option, parsed) in PROPERTIES.items():
            if name in self.configuration:
                try:
                    options[option] = parsed(self.configuration[name])
                except ValueError:
                    wrong.append(f"{name} is {self.configuration[name]!r}, which is no number")
        if self.runner not in ("local", "inline", "cluster"):
            wrong.append(f"no runner {self.runner!r}; there are local, inline and cluster")
        reducers = self._reducers()
        if type(reducers) is not int or reducers < 0:
            wrong.append(f"set_num_reduce_tasks takes an int of 0 or more, not {reducers!r}")
        return options

    def _reducers(self) -> Any:
        if self._num_reduce_tasks is not None:
            return self._num_reduce_tasks
        text = self.configuration.get("mapreduce.job.reduces", "1")
        return int(text) if text.isdecimal() else text

    def _made(
        self, found: Mapping[str, Any], mappers: list[Any], options: Mapping[str, Any]
    ) -> engine.Job:
        text_only = self._output_format.partition(":")[0] == "text"
        without_key = text_only and found["output_key_class"] is NullWritable
        without_value = text_only and found["output_value_class"] is NullWritable
        settings = Settings(
            mapper=found["mapper_class"],
            reducer=found["reducer_class"],
            combiner=found["combiner_class"],
            map_key=found["map_output_key_class"],
            map_value=found["map_output_value_class"],
            output_key=found["output_key_class"],
            output_value=found["output_value_class"],
            sort_comparator=found["sort_comparator_class"],
            grouping_comparator=found["grouping_comparator_class"],
            as_objects=self._output_format.partition(":")[0] == "pickle",
            bare_key=without_value,
        )
        bare = ":keys=no" if without_key or without_value else ""
        return engine.Job(
            engine_name(self.name),
            steps=[_step(settings, self._reducers(), found["partitioner_class"])],
            inputs=[
                Input(path, given, mapper and factory(MapTask, settings, mapper))
                for (path, given, _), mapper in zip(self._inputs, mappers)
            ],
            input_format=self._input_format,
            output_format=self._output_format + bare,
            outputs=self.named_outputs,
            files=self.files,
            modules=self.modules,
            params=self.configuration,
            **options,
        )


def engine_name(name: str) -> str:
    """A job's name with what the engine's names can have.

    >>> engine_name("word count (small)")
    'word-count-small'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:90] or "job"


def _found(setter: str, given: Any, base: type, wrong: list[str]) -> Any:
    """The class that was given, perhaps by name; None if it is wrong."""
    if isinstance(given, str):
        try:
            given = pkgutil.resolve_name(given)
        except (ImportError, AttributeError, ValueError) as error:
            wrong.append(f"{setter}: {given!r} can't be found: {error}")
            return None
    if given is None or (isinstance(given, type) and issubclass(given, base)):
        return given
    what = given.__qualname__ if isinstance(given, type) else repr(given)[:60]
    wrong.append(f"{setter} takes a class derived from {base.__name__}, not {what}")
    return None


def _step(settings: Settings, reducers: int, partitioner: Any) -> Step:
    mapper = factory(MapTask, settings, settings.mapper)
    if reducers == 0:
        return Step(mapper=mapper)
    combiner = settings.combiner
    return Step(
        mapper=mapper,
        reducer=factory(ReduceTask, settings, settings.reducer),
        combiner=combiner and factory(CombineTask, settings, combiner),
        reducers=reducers,
        sort_key=settings.sort_rank(),
        **_placing(settings, partitioner),
    )


def _placing(settings: Settings, partitioner: Any) -> dict[str, Any]:
    """Which partition a key belongs to."""
    if partitioner is not None and issubclass(partitioner, TotalOrderPartitioner):
        return {"total_order": True}
    if partitioner is None and not has_own_hash(settings.map_key):
        return {}
    made = (partitioner or HashPartitioner)()
    return {"partitioner": KeyPartitioner(settings.map_key, made)}
