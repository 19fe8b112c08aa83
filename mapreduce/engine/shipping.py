"""How the user's classes come to where they run: as a source file, or as a pickle.

The only importer of cloudpickle. The master and the command lines call `check_source`, which looks
at the text and never runs it; `load` is for the processes that run tasks.
"""

import ast
import functools
import importlib.util
import inspect
import linecache
import os
import pickle
import site
import sys
import sysconfig
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cloudpickle
import msgspec

from mapreduce.api import Step, check_takes_pieces, mappers_of
from mapreduce.engine import streaming
from mapreduce.engine.orders import Code, JobSpec, StepSpec
from mapreduce.errors import JobError, SourceError

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""Pickled code can be loaded by the version that pickled it, and by no other."""

DEFAULTS = {
    "mapper": "MyMapper",
    "reducer": "MyReducer",
    "combiner": "MyCombiner",
    "partitioner": "MyPartitioner",
    "do_hash": "do_hash",
}
"""The names that a source file's classes have where the job does not name others."""
_PLACING = ("partitioner", "do_hash")
"""The fields that say where a key belongs, of which a step has one at most."""
JOB = "job"
"""The name under which a source file may define a whole job."""
_NAMED = (
    *("mapper", "reducer", "combiner", "partitioner", "do_hash"),
    *("sort_key", "group_key", "sort_values"),
)
"""The fields of a step that hold code."""

BESIDE_BYTES = 64 << 10
"""A class of the user's program that is larger than this is sent only if the job needs it."""


_PACKAGES = ("mapreduce", "dynamo", "cli")


class Program(NamedTuple):
    """All the code of a job. `mappers` are those of the first step, by `InputSpec.mapper`."""

    mappers: tuple[Callable[[], Any] | None, ...]
    steps: tuple[Step, ...]


_parsing = threading.Lock()
"""Two threads that parse at once disturb each other: https://github.com/python/cpython/issues/106905
"""

# Source files ------------------------------------------------------------------------------------


def check_source(source: bytes, code: Code, steps: Sequence[StepSpec]) -> tuple[StepSpec, ...]:
    """The steps to run from a source file, found without running it.

    Names that are left out get their defaults: `MyMapper`, `MyReducer` unless `reducers` is 0, and,
    if the file has them, `MyCombiner`, and `MyPartitioner` or `do_hash`. Raises `SourceError` for a
    file that is no Python, with the line, or lacks a name, with those it has.

    >>> source = b"class MyMapper: ...\\nclass MyReducer: ..."
    >>> [step] = check_source(source, Code(filename="wc.py"), [StepSpec()])
    >>> step.mapper, step.reducer, step.combiner
    ('MyMapper', 'MyReducer', None)
    """
    names = names_in(source, code.filename)
    for name in (code.job, *code.mappers):
        _check_has(name, names, code.filename)
    if code.job is not None:
        return tuple(steps)
    checked = tuple(_with_defaults(step, names, code.filename) for step in steps)
    for step in checked:
        for field in _NAMED:
            _check_has(getattr(step, field), names, code.filename)
    return checked


def check_pieces(source: bytes, spec: JobSpec) -> None:
    """Raise `JobError` if a reducer is a `PartitionReducer`, as far as the source file says by its
    class statements, and the job says what means nothing to one."""
    takers = _takers_of_pieces(source)
    for step in spec.steps:
        if step.reducer in takers:
            check_takes_pieces(step, spec.skip_bad_records)


def _takers_of_pieces(source: bytes) -> set[str]:
    """The classes derived from `PartitionReducer`, directly or by way of others of the file."""
    with _parsing:
        tree = ast.parse(source)
    takers = {"PartitionReducer"}
    for statement in ast.walk(tree):
        if isinstance(statement, ast.ClassDef):
            bases = {ast.unparse(base).rpartition(".")[2] for base in statement.bases}
            if bases & takers:
                takers.add(statement.name)
    return takers


def _check_has(name: str | bool | None, names: Sequence[str], filename: str) -> None:
    if isinstance(name, str) and name not in names:
        has = ", ".join(names) or "no classes or names at all"
        raise SourceError(f"{filename} has no class {name}; at its top level it has {has}")


def _with_defaults(step: StepSpec, names: Sequence[str], filename: str) -> StepSpec:
    found = {field: name for field, name in DEFAULTS.items() if name in names}
    chosen: dict[str, Any] = {"mapper": step.mapper or DEFAULTS["mapper"]}
    if step.reducers == 0:
        chosen |= dict.fromkeys(("reducer", "combiner", *_PLACING))
    else:
        chosen["reducer"] = step.reducer or DEFAULTS["reducer"]
        chosen["combiner"] = step.combiner or found.get("combiner")
        if not (step.total_order or step.partitioner or step.do_hash):
            placing = {field: found[field] for field in _PLACING if field in found}
            if len(placing) > 1:
                has = " and ".join(placing.values())
                raise SourceError(f"{filename} has {has}, which both say where a key belongs")
            chosen |= placing
    return msgspec.structs.replace(step, **chosen)


def names_in(source: bytes, filename: str) -> list[str]:
    """What a module of this source would bind at its top level, imports by * apart."""
    try:
        with _parsing:
            tree = ast.parse(source, filename)
        compile(source, filename, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SourceError(f"{filename}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise SourceError(f"{filename} is no Python source: {error}") from None
    names: dict[str, None] = {}
    for statement in tree.body:
        names.update(dict.fromkeys(_bound(statement)))
    return list(names)


def _bound(statement: ast.AST) -> list[str]:
    """The names that a statement binds; those inside `if` and `try` at the top level too."""
    if isinstance(statement, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.split(".")[0] for alias in statement.names]
    if isinstance(statement, ast.Name):
        return [statement.id] if isinstance(statement.ctx, ast.Store) else []
    return [name for child in ast.iter_child_nodes(statement) for name in _bound(child)]


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
    found += (getattr(step, field) for step in program.steps for field in _NAMED)
    return [made for made in found if callable(made)]


def named(step: Step) -> StepSpec:
    """A step with names in place of its code, for people and for the scheduler."""
    names = {field: _name(getattr(step, field)) for field in _NAMED}
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
    named_here = {field: getattr(step, field) for field in _NAMED}
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
