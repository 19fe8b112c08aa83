"""Source files, looked at and never run: what masters and command lines have to know of them."""

import ast
import threading
from collections.abc import Sequence
from typing import Any

import msgspec

from mapreduce.api import check_takes_pieces
from mapreduce.engine.orders import Code, JobSpec, StepSpec
from mapreduce.errors import SourceError

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
NAMED = (
    *("mapper", "reducer", "combiner", "partitioner", "do_hash"),
    *("sort_key", "group_key", "sort_values"),
)
"""The fields of a step that hold code."""

_parsing = threading.Lock()
"""Two threads that parse at once disturb each other: https://github.com/python/cpython/issues/106905
"""


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
        for field in NAMED:
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
