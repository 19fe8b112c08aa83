"""How the user's classes come to where they run: as a source file, or as a pickle.

The only importer of cloudpickle. `load` is for the processes that run tasks.
"""

import functools
import importlib.util
import inspect
import linecache
import os
import pickle
import site
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cloudpickle

from mapreduce.api import Step, mappers_of
from mapreduce.engine import streaming
from mapreduce.engine.orders import Code, JobSpec, StepSpec
from mapreduce.engine.sources import NAMED
from mapreduce.errors import JobError, SourceError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Pickled code can be loaded by the version that pickled it, and by no other."""

BESIDE_BYTES = 64 << 10
"""A class of the user's program that is larger than this is sent only if the job needs it."""


_PACKAGES = ("mapreduce", "dynamo", "cli")


class Program(NamedTuple):
    """All the code of a job. `mappers` are those of the first step, by `InputSpec.mapper`."""

    mappers: tuple[Callable[[], Any] | None, ...]
    steps: tuple[Step, ...]


# Pickles -----------------------------------------------------------------------------------------


def pickle_program(
    program: Program, *, same_machine: bool = False, sent_as_files: Collection[str] = ()
) -> tuple[Code, bytes]:
    """The code of a running program, and what a job says of it.

    Classes of installed packages go by name; those of `__main__`, of notebooks and of files beside
    the program go by value, as the machines that run them don't have those files: whatever the
    job's code uses of any module that the program has imported, but for those `sent_as_files`. On
    the `same_machine` only `__main__` goes by value. With them go the other classes of the modules
    that are used, so that objects of these can be keys and values.
    """
    modules = {_module_of(made) for made in _code_in(program)} - {None}
    own = _own_modules(same_machine, sent_as_files)
    registered = [module for module in own if module.__name__ != "__main__"]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        used = cloudpickle.dumps(tuple(program), protocol=5)
        beside = [one for one in own if one in modules or one.__name__.encode() in used]
        data: bytes = cloudpickle.dumps((tuple(program), _classes_beside(beside)), protocol=5)
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        raise JobError(
            f"the job's classes can't be sent to where they run: {error}; if a module that they "
            "use has it, give the job that file: modules=[...]"
        ) from error
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
    home = next(iter(modules), None)
    filename = getattr(home, "__file__", None) or "<interactive>"
    return Code(kind="pickle", filename=filename), data


def _own_modules(same_machine: bool, sent_as_files: Collection[str]) -> list[ModuleType]:
    """The program's own modules, as far as they are imported now."""
    if same_machine:
        return [sys.modules["__main__"]]
    return [
        module
        for name, module in list(sys.modules.items())
        if type(module) is ModuleType
        and module.__name__ == name
        and name.partition(".")[0] not in sent_as_files
        and (name == "__main__" or _is_own(getattr(module, "__file__", None)))
    ]


def _code_in(program: Program) -> list[Any]:
    """Every class and function of the user's, the first step's mapper first."""
    found = [*program.mappers]
    found += (getattr(step, field) for step in program.steps for field in NAMED)
    return [made for made in found if callable(made)]


def named(step: Step) -> StepSpec:
    """A step with names in place of its code, for people and for the scheduler."""
    names = {field: _name(getattr(step, field)) for field in NAMED}
    return StepSpec(
        **{**names, "mapper": names["mapper"] or ""},
        reducers=step.reducers,
        descending=step.descending,
        total_order=step.total_order,
    )


def _name(made: Any) -> Any:
    if made is None or isinstance(made, bool):
        return made
    return getattr(made, "__name__", repr(made))


def _classes_beside(modules: Iterable[ModuleType]) -> dict[tuple[str, str], type]:
    """All classes that these modules define at their top level, small ones that can be sent."""
    return {
        (module.__name__, name): made
        for module in modules
        for name, made in list(vars(module).items())
        if isinstance(made, type) and made.__module__ == module.__name__ and _is_small(made)
    }


def _is_small(made: type) -> bool:
    try:
        return len(cloudpickle.dumps(made, protocol=5)) <= BESIDE_BYTES
    except Exception:  # whatever keeps a class from being pickled, the job may not need it
        return False


def _module_of(made: Any) -> ModuleType | None:
    return sys.modules.get(getattr(made, "__module__", None) or "")


@functools.cache
def _is_own(file: str | None) -> bool:
    """False for a module that can be imported where the job runs: one of an installed package."""
    if file is None or file.startswith(
        tuple(f"{folder}{os.sep}" for folder in _installed_folders())
    ):
        return False
    path = Path(file).resolve()
    return not any(path.is_relative_to(folder) for folder in _installed_folders())


@functools.cache
def _installed_folders() -> Sequence[Path]:
    names = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    names.append(site.getusersitepackages())
    home = Path(__file__).resolve().parents[2]
    return [*(Path(name).resolve() for name in names), *(home / name for name in _PACKAGES)]


# Loading -----------------------------------------------------------------------------------------


def load_source(source: bytes, filename: str, name: str) -> ModuleType:
    """Run a source file as the module `name`; tracebacks show its name and its lines."""
    spec = importlib.util.spec_from_loader(name, loader=None, origin=filename)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = filename
    text = importlib.util.decode_source(source)
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    sys.modules[name] = module
    exec(compile(source, filename, "exec", dont_inherit=True), module.__dict__)
    return module


def load(spec: JobSpec, data: bytes, run: str) -> Program:
    """The code of a job, from what is stored for it. Runs the user's source file.

    Errors of the user's own code pass through; a class that the source does not have is a
    `SourceError`.
    """
    _forget_stand_ins()
    if spec.code.kind == "pickle":
        return _unpickled(spec, data)
    if spec.code.kind == "executables":
        steps = tuple(streaming.step(spec.code.lines, step) for step in spec.steps)
        return Program((steps[0].mapper,), steps)
    module = load_source(data, spec.code.filename, f"mapreduce_job_{run}")
    if spec.code.job is not None:
        job = job_in(module, spec.code, _taken(module, spec))
        return Program(mappers_of(job.steps, job.inputs), job.steps)
    steps = tuple(_step(module, spec.code, step) for step in spec.steps)
    others = (_found(module, spec.code, name) for name in spec.code.mappers)
    return Program((steps[0].mapper, *others), steps)


def job_in(module: ModuleType, code: Code, params: Mapping[str, str]) -> Any:
    """The `Job` that a source file defines, or that its function makes of the parameters."""
    made = _found(module, code, code.job)
    job = made if hasattr(made, "steps") else _called(made, code, params)
    if not hasattr(job, "steps"):
        raise SourceError(
            f"{code.filename}: {code.job} is {type(job).__name__}; it has to be a mapreduce.Job, "
            "or a function that returns one"
        )
    return job


def _taken(module: ModuleType, spec: JobSpec) -> Mapping[str, str]:
    """Those of the job's parameters that its function takes: it may have set others itself."""
    made = _found(module, spec.code, spec.code.job)
    if hasattr(made, "steps"):
        return {}
    parameters = inspect.signature(made).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return spec.params
    return {name: text for name, text in spec.params.items() if name in parameters}


def _called(make: Callable[..., Any], code: Code, params: Mapping[str, str]) -> Any:
    signature = inspect.signature(make, eval_str=True)
    try:
        signature.bind(**params)
    except TypeError as error:
        raise SourceError(
            f"{code.filename}: {code.job}{signature} can't be called with the parameters "
            f"{dict(params)}: {error}; --set gives them"
        ) from None
    taken = {name: _parameter(signature, code, name, text) for name, text in params.items()}
    return make(**taken)


def _parameter(signature: inspect.Signature, code: Code, name: str, text: str) -> Any:
    """A parameter as the type that the function says; a text if it says none."""
    parameter = signature.parameters.get(name)
    convert = _TYPES.get(parameter.annotation if parameter else str, str)
    try:
        return convert(text)
    except (KeyError, ValueError):
        kind = "yes or no" if parameter and parameter.annotation is bool else convert.__name__
        raise SourceError(
            f"{code.filename}: the parameter {name} of {code.job}{signature} is {kind}, "
            f"not {text!r}"
        ) from None


_TYPES: Mapping[Any, Callable[[str], Any]] = {
    int: int,
    float: float,
    bool: {"yes": True, "no": False, "True": True, "False": False}.__getitem__,
}
"""How `--set` is read for a parameter of this type; "True" is how `Job(params=...)` writes it."""


def _unpickled(spec: JobSpec, data: bytes) -> Program:
    if spec.python not in ("", PYTHON):
        raise JobError(
            f"the code of job {spec.name!r} was pickled by Python {spec.python}, and this worker "
            f"runs {PYTHON}, which can't load it: run both with one version, or describe the job "
            "by a source file (`mapreduce new_job`)"
        )
    program, beside = pickle.loads(data)
    for (home, name), made in beside.items():
        setattr(sys.modules.setdefault(home, _StandIn(home)), name, made)
    return Program(*program)


class _StandIn(ModuleType):
    """A module of the program that described a job, where the job runs: the classes sent of it."""


def _forget_stand_ins() -> None:
    """Those of the last job: the next may bring, or find, the whole module of that name."""
    for name, module in list(sys.modules.items()):
        if isinstance(module, _StandIn):
            del sys.modules[name]


def _step(module: ModuleType, code: Code, step: StepSpec) -> Step:
    named_here = {field: getattr(step, field) for field in NAMED}
    return Step(
        **{
            field: _found(module, code, name) if isinstance(name, str) else name
            for field, name in named_here.items()
        },
        reducers=step.reducers,
        descending=step.descending,
        total_order=step.total_order,
    )


def _found(module: ModuleType, code: Code, name: str | None) -> Any:
    made = getattr(module, name or "", None)
    if made is None or not (callable(made) or hasattr(made, "steps")):
        raise SourceError(f"{code.filename} has no class {name} after it has run")
    return made
