"""The names of formats: which one, and with which options.

    name     = format *(":" option "=" value)
    value    = "yes" / "no" / number / one of a list / text

As in "text", "text:errors=replace", "csv:header=yes:delimiter=semicolon". The options of a format
are the fields of its dataclass, which say themselves what they take.
"""

import contextlib
import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from mapreduce.errors import JobError

Format = TypeVar("Format")


def parse(kind: str, name: str, known: Mapping[str, type[Format]]) -> Format:
    """The format of that name; `kind` is "input" or "output". Raises JobError for one that does
    not exist, with what there is.

    >>> @dataclasses.dataclass
    ... class Fixed:
    ...     size: int
    >>> parse("input", "fixed:size=100", {"fixed": Fixed})
    Fixed(size=100)
    """
    first, *given = name.split(":")
    if first not in known:
        raise JobError(f"no {kind} format {first!r}; there are {', '.join(known)}")
    made = known[first]
    takes = _options(made)
    options = {}
    for option in given:
        field, equals, value = option.partition("=")
        if field not in takes or not equals or field in options:
            raise JobError(_wrong(kind, first, option, takes))
        options[field] = _value(f"{kind} format {first}", field, value, takes[field])
    try:
        return made(**options)
    except (TypeError, ValueError) as error:
        raise JobError(f"the {kind} format {name!r} can't be: {error}") from None


def name_of(made: Any, known: Mapping[str, type[Any]]) -> str:
    """The name of a format: what `parse` makes it of."""
    name = next(name for name, kind in known.items() if type(made) is kind)
    options = (
        (field.name, getattr(made, field.name))
        for field in dataclasses.fields(made)
        if getattr(made, field.name) != field.default
    )
    texts = {True: "yes", False: "no"}
    return ":".join([name, *(f"{field}={texts.get(value, value)}" for field, value in options)])


def _options(made: type) -> dict[str, Any]:
    """Each option and its type."""
    hints = typing.get_type_hints(made)
    return {field.name: hints[field.name] for field in dataclasses.fields(made)}


def _wrong(kind: str, name: str, option: str, takes: Mapping[str, Any]) -> str:
    there = ", ".join(f"{field}={'|'.join(_choices(hint))}" for field, hint in takes.items())
    return f"the {kind} format {name} has no option {option!r} (once); it has {there or 'none'}"


def _value(where: str, field: str, given: str, hint: Any) -> Any:
    if hint is bool and given in ("yes", "no"):
        return given == "yes"
    if hint is int:
        with contextlib.suppress(ValueError):
            return int(given)
    if hint is str or given in _choices(hint):
        return given
    raise JobError(f"{field} of the {where} is {' or '.join(_choices(hint))}, not {given!r}")


def _choices(hint: Any) -> list[str]:
    """What may be given for a type."""
    if hint is bool:
        return ["yes", "no"]
    if hint is int:
        return ["NUMBER"]
    if hint is str:
        return ["TEXT"]
    if typing.get_origin(hint) is Literal:
        return [str(choice) for choice in typing.get_args(hint)]
    assert typing.get_origin(hint) in (typing.Union, types.UnionType)
    return [choice for part in typing.get_args(hint) for choice in _choices(part)]
