"""--resolve: what `dynamo get` makes of siblings, by a word or by a function of the user's own."""

import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from dynamo.errors import RequestError
from dynamo.options import Resolver

LAST_WRITE = "last-write"


class ResolverType(click.ParamType):
    """`last-write`, or FILE.py:FUNCTION, given to the command as what the store's get takes."""

    name = "resolver"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Resolver:
        if value == LAST_WRITE:
            return "last_write"
        file, colon, name = str(value).rpartition(":")
        if not (colon and file and name.isidentifier()):
            self.fail(f"{value!r} is neither {LAST_WRITE} nor FILE.py:FUNCTION", param, ctx)
        if not Path(file).is_file():
            self.fail(f"no such file: {file}", param, ctx)
        function = self._functions_of(file, param, ctx).get(name)
        if not callable(function):
            self.fail(f"{file} has no function {name}", param, ctx)
        return _telling(value, function)

    def _functions_of(
        self, file: str, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, Any]:
        try:
            return runpy.run_path(file, run_name=Path(file).stem)
        except Exception as error:
            self.fail(f"{file} can't be run: {type(error).__name__}: {error}", param, ctx)


def _telling(name: str, function: Callable[[Sequence[bytes]], Any]) -> Resolver:
    """`function`, with one clear line for what goes wrong in it."""

    def resolve(values: Sequence[bytes]) -> bytes:
        try:
            value = function(values)
        except Exception as error:
            raise RequestError(f"{name} failed: {type(error).__name__}: {error}") from error
        if not isinstance(value, bytes):
            raise RequestError(f"{name} returned {type(value).__name__}; a value is bytes")
        return value

    return resolve


resolve_option = click.option(
    "--resolve",
    "resolver",
    type=ResolverType(),
    metavar=f"{LAST_WRITE} | FILE.py:FUNCTION",
    help="Make one value of siblings: the newest, or what FUNCTION of the values returns.",
)
