"""How a job is set up: Hadoop's setters, what is wrong with what they were given, and the
`mapreduce.Job` that comes of it."""

import functools
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mapreduce import job as engine
from mapreduce.api import Input, Step
from mapreduce.errors import JobError
from mapreduce.hadoop.checking import CLASSES, found
from mapreduce.hadoop.settings import (
    Configuration,
    HashPartitioner,
    KeyPartitioner,
    PlacedRank,
    Settings,
    TotalOrderPartitioner,
    has_own_hash,
    partition_of_placed,
)
from mapreduce.hadoop.tasks import (
    CombineTask,
    Mapper,
    MapTask,
    Reducer,
    ReduceTask,
    factory,
    known_by,
)
from mapreduce.hadoop.writables import LongWritable, NullWritable, Text, WritableComparable

FORMATS = {
    "TextInputFormat": "text",
    "KeyValueTextInputFormat": "pairs",
    "SequenceFileInputFormat": "pickle",
    "TextOutputFormat": "text",
    "SequenceFileOutputFormat": "pickle",
}
"""Hadoop's names of formats, and what they are called here (docs/formats.md)."""


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.strip().lower()]


PROPERTIES: Mapping[str, tuple[str, Any]] = {
    "mapreduce.map.maxattempts": ("max_attempts", int),
    "mapreduce.input.fileinputformat.split.maxsize": ("split_bytes", int),
    "mapreduce.input.fileinputformat.split.minsize": ("least_split_bytes", int),
    "mapreduce.task.io.sort.mb": ("memory_bytes", lambda text: int(text) << 20),
    "mapreduce.job.reduce.slowstart.completedmaps": ("slow_start", float),
    "mapreduce.map.speculative": ("backups", _boolean),
}
"""Properties of Hadoop's configuration that the engine has, and what they are called there."""
REDUCES = "mapreduce.job.reduces"


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
        self._input_format = name

    def set_output_format_class(self, name: str) -> None:
        self._output_format = name

    def add_input_path(
        self, path: str | Path, input_format: str | None = None, mapper: type | str | None = None
    ) -> None:
        """One more input: a file, a folder or a glob, on a cluster of the store. With a format and
        a mapper of its own this is what Hadoop calls MultipleInputs."""
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
        classes = self._classes(wrong)
        mappers = [found("mapper of an input", one, Mapper, wrong) for _, _, one in self._inputs]
        wrong += [*self._unfit(classes), *self._no_texts()]
        options = self._options(wrong)
        made = None
        if not wrong:
            try:
                made = self._made(classes, mappers, options)
            except JobError as error:
                wrong.append(str(error))
        if made is None:
            listed = "".join(f"\n  - {one}" for one in wrong)
            raise JobError(f"the job {self.name!r} can't run as it is:{listed}")
        return made

    def _classes(self, wrong: list[str]) -> dict[str, Any]:
        classes = {}
        for name, (base, may_miss) in CLASSES.items():
            given = self._given.get(name)
            if given is None and not may_miss:
                wrong.append(f"set_{name}: None is no class")
            classes[name] = found(f"set_{name}", given, base, wrong)
        for part in ("key", "value"):
            declared = classes[f"map_output_{part}_class"]
            classes[f"map_output_{part}_class"] = declared or classes[f"output_{part}_class"]
        return classes

    def _unfit(self, classes: Mapping[str, Any]) -> list[str]:
        """What is wrong with classes that are of the right kind."""
        wrong = []
        key, combiner = classes["map_output_key_class"], classes["combiner_class"]
        is_sorted = key is not None and self._reducers() != 0
        if is_sorted and not issubclass(key, WritableComparable):
            wrong.append(f"map output keys are sorted: {key.__name__} is no WritableComparable")
        for method in ("run", "cleanup") if combiner is not None else ():
            if getattr(combiner, method) is not getattr(Reducer, method):
                wrong.append(f"set_combiner_class: {combiner.__name__}.{method} is never called")
        return wrong

    def _no_texts(self) -> list[str]:
        """What has to be a text, or a path, and is something else."""
        formats = "the name of a format, such as 'TextInputFormat'"
        own = [given for _, given, _ in self._inputs if given is not None]
        texts = [
            ("set_job_name", "a text", self.name),
            ("set_input_format_class", formats, self._input_format),
            ("set_output_format_class", formats, self._output_format),
            *(("the format of an input is", formats, given) for given in own),
            *(("add_named_output", formats, given) for given in self.named_outputs.values()),
        ]
        paths = [("add_input_path", path) for path, _, _ in self._inputs]
        paths += [("set_output_path", path) for path in [self._output] if path is not None]
        return [
            *(
                f"{setter} takes {what}, not {one!r}"
                for setter, what, one in texts
                if not _is_text(one)
            ),
            *(f"{setter} takes a path, not {one!r}" for setter, one in paths if not _is_path(one)),
        ]

    def _options(self, wrong: list[str]) -> dict[str, Any]:
        """What the configuration says of things that the engine has."""
        options = {}
        for name, (option, parsed) in PROPERTIES.items():
            if name in self.configuration:
                try:
                    options[option] = parsed(self.configuration[name])
                except (KeyError, ValueError):
                    what = "neither true nor false" if parsed is _boolean else "no number"
                    wrong.append(f"{name} is {self.configuration[name]!r}, which is {what}")
        if self.runner not in ("local", "inline", "cluster"):
            wrong.append(f"no runner {self.runner!r}; there are local, inline and cluster")
        reducers = self._reducers()
        if type(reducers) is not int or reducers < 0:
            says = "set_num_reduce_tasks" if self._num_reduce_tasks is not None else REDUCES
            wrong.append(f"{says} takes an int of 0 or more, not {reducers!r}")
        return options

    def _reducers(self) -> Any:
        if self._num_reduce_tasks is not None:
            return self._num_reduce_tasks
        text = self.configuration.get(REDUCES, "1")
        return int(text) if text.isdecimal() else text

    def _made(
        self, classes: Mapping[str, Any], mappers: list[Any], options: Mapping[str, Any]
    ) -> engine.Job:
        output_format = _format(self._output_format)
        kind = output_format.partition(":")[0]
        text_only = kind == "text"
        without_key = text_only and classes["output_key_class"] is NullWritable
        without_value = text_only and classes["output_value_class"] is NullWritable
        settings = Settings(
            mapper=classes["mapper_class"],
            reducer=classes["reducer_class"],
            combiner=classes["combiner_class"],
            map_key=classes["map_output_key_class"],
            map_value=classes["map_output_value_class"],
            output_key=classes["output_key_class"],
            output_value=classes["output_value_class"],
            partitioner=_seeing_pairs(classes["partitioner_class"]),
            sort_comparator=classes["sort_comparator_class"],
            grouping_comparator=classes["grouping_comparator_class"],
            as_objects=kind == "pickle",
            bare_key=without_value,
        )
        bare = ":keys=no" if without_key or without_value else ""
        return engine.Job(
            engine_name(self.name),
            steps=[_step(settings, self._reducers(), classes["partitioner_class"])],
            inputs=[
                Input(path, given and _format(given), mapper and factory(MapTask, settings, mapper))
                for (path, given, _), mapper in zip(self._inputs, mappers)
            ],
            input_format=_format(self._input_format),
            output_format=output_format + bare,
            outputs={name: _format(given) for name, given in self.named_outputs.items()},
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


def _is_text(given: object) -> bool:
    return isinstance(given, str) and given != ""


def _is_path(given: object) -> bool:
    return _is_text(given) or isinstance(given, os.PathLike)


def _format(name: str) -> str:
    return FORMATS.get(name, name)


def _seeing_pairs(partitioner: Any) -> Any:
    """A partitioner of the user's; not those that are here, which see keys."""
    if partitioner is None or issubclass(partitioner, TotalOrderPartitioner):
        return None
    own = partitioner.get_partition is not HashPartitioner.get_partition
    return partitioner if own else None


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
        **_placing(settings, partitioner),
    )


def _placing(settings: Settings, partitioner: Any) -> dict[str, Any]:
    """Which partition a key belongs to, and the order of those of one."""
    rank = settings.sort_rank()
    if (own := settings.partitioner) is not None:
        placed = known_by(own, functools.partial(partition_of_placed))
        return {"partitioner": placed, "sort_key": rank and PlacedRank(rank)}
    if partitioner is not None and issubclass(partitioner, TotalOrderPartitioner):
        return {"sort_key": rank, "total_order": True}
    if partitioner is None and not has_own_hash(settings.map_key):
        return {"sort_key": rank}
    return {"sort_key": rank, "partitioner": KeyPartitioner(settings.map_key)}
