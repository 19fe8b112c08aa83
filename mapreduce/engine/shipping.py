"""How the user's classes come to where they run: as a source file, or as a pickle.

The only importer of cloudpickle. The master and the command lines call `check_source`, which looks
at the text and never runs it; `load` is for the processes that run tasks.
"""

import ast
import functools
import importlib.util
import linecache
import pickle
import site
import sys
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import cloudpickle

from mapreduce.engine.orders import Code
from mapreduce.errors import JobError, SourceError

MAPPER, REDUCER, COMBINER = "MyMapper", "MyReducer", "MyCombiner"
"""The names that a source file's classes have where the job does not name others."""

BESIDE_BYTES = 64 << 10
"""A class of the user's program that is larger than this is sent only if the job needs it."""


class Classes(NamedTuple):
    """What a job runs: classes, or anything that makes an object with the right methods."""

    mapper: Callable[[], Any]
    reducer: Callable[[], Any] | None = None
    combiner: Callable[[], Any] | None = None


# Source files ------------------------------------------------------------------------------------


def check_source(
    source: bytes,
    filename: str,
    *,
    mapper: str | None = None,
    reducer: str | None = None,
    combiner: str | None = None,
    reducers: int = 1,
) -> Code:
    """What to run from a source file, found without running it.

    Names that are None get their defaults: `MyMapper`, `MyReducer` unless `reducers` is 0, and
    `MyCombiner` if the file has one. Raises `SourceError` for a file that is no Python, with the
    line, or lacks a class, with the names it has.

    >>> check_source(b"class MyMapper: ...\\nclass MyReducer: ...", "wc.py").reducer
    'MyReducer'
    """
    names = _top_level_names(source, filename)
    if reducers == 0:
        reducer = combiner = None
    else:
        reducer = reducer or REDUCER
        combiner = combiner or (COMBINER if COMBINER in names else None)
    mapper = mapper or MAPPER
    for name in (mapper, reducer, combiner):
        if name is not None and name not in names:
            has = ", ".join(names) or "no classes or names at all"
            raise SourceError(f"{filename} has no class {name}; at its top level it has {has}")
    return Code(kind="source", filename=filename, mapper=mapper, reducer=reducer, combiner=combiner)


def _top_level_names(source: bytes, filename: str) -> list[str]:
    """What a module of this source would bind at its top level, imports by * apart."""
    try:
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


def pickle_classes(
    mapper: Callable[[], Any],
    reducer: Callable[[], Any] | None = None,
    combiner: Callable[[], Any] | None = None,
    *,
    same_machine: bool = False,
) -> tuple[Code, bytes]:
    """The classes of a running program, and what a job says of them.

    Classes of installed packages go by name; those of `__main__`, of notebooks and of files beside
    the program go by value, as the machines that run them don't have those files. On the
    `same_machine` only `__main__` goes by value. With them go the other classes of their modules,
    so that objects of these can be keys and values.
    """
    classes = Classes(mapper, reducer, combiner)
    modules = {_module_of(made) for made in classes if made is not None} - {None}
    sent = [module for module in modules if module and _by_value(module, same_machine)]
    registered = [module for module in sent if module.__name__ != "__main__"]
    for module in registered:
        cloudpickle.register_pickle_by_value(module)
    try:
        data: bytes = cloudpickle.dumps((tuple(classes), _classes_beside(sent)), protocol=5)
    except (TypeError, pickle.PicklingError, AttributeError) as error:
        raise JobError(f"the job's classes can't be sent to where they run: {error}") from error
    finally:
        for module in registered:
            cloudpickle.unregister_pickle_by_value(module)
    return _code_of(classes), data


def _code_of(classes: Classes) -> Code:
    names = [None if made is None else getattr(made, "__name__", repr(made)) for made in classes]
    return Code(
        kind="pickle",
        filename=getattr(_module_of(classes.mapper), "__file__", None) or "<interactive>",
        mapper=names[0] or "",
        reducer=names[1],
        combiner=names[2],
    )


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


def _by_value(module: ModuleType, same_machine: bool) -> bool:
    """False for modules that can be imported where the job runs."""
    if module.__name__ == "__main__":
        return True
    file = getattr(module, "__file__", None)
    if file is None or same_machine:
        return False
    path = Path(file).resolve()
    return not any(path.is_relative_to(folder) for folder in _installed_folders())


@functools.cache
def _installed_folders() -> Sequence[Path]:
    names = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    names.append(site.getusersitepackages())
    here = Path(__file__).resolve().parents[1]
    return [*(Path(name).resolve() for name in names), here]


# Loading -----------------------------------------------------------------------------------------


def load(code: Code, data: bytes, job: str) -> Classes:
    """The classes of a job, from what is stored for it. Runs the user's source file.

    Errors of the user's own code pass through; a class that the code does not have is a
    `SourceError`.
    """
    if code.kind == "pickle":
        classes, beside = pickle.loads(data)
        for (home, name), made in beside.items():
            setattr(sys.modules.setdefault(home, ModuleType(home)), name, made)
        return Classes(*classes)
    module = load_source(data, code.filename, f"mapreduce_job_{job}")
    return Classes(
        _class(module, code, code.mapper),
        None if code.reducer is None else _class(module, code, code.reducer),
        None if code.combiner is None else _class(module, code, code.combiner),
    )


def _class(module: ModuleType, code: Code, name: str) -> Callable[[], Any]:
    made = getattr(module, name, None)
    if not callable(made):
        raise SourceError(f"{code.filename} has no class {name} after it has run")
    return made  # type: ignore[no-any-return]
