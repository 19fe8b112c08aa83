"""The options of one request: how many replicas, how long, and what a put may ask for.

They reach a command as one dict, `request`, which is what the store's call takes; what was not
given is not in it.
"""

import functools
import re
from collections.abc import Callable
from typing import Any

import click

Command = Callable[..., Any]

UNITS_S = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
NAMES = ("n", "r", "w", "timeout_s", "ttl_s", "ephemeral", "if_absent", "resolver")


class Duration(click.ParamType):
    """A number with a unit, given to the command in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        parts = re.fullmatch(r"(\d+\.?\d*|\.\d+)(ms|[smhd]?)", str(value))
        seconds = float(parts[1]) * UNITS_S[parts[2]] if parts else 0.0
        if seconds <= 0:
            self.fail(f"{value!r} is no duration; write 500ms, 2s, 30m, 1h or 7d", param, ctx)
        return seconds


REPLICAS = click.IntRange(min=1)

n_option = click.option("--n", type=REPLICAS, help="Replicas of the key, else the cluster's.")
r_option = click.option("--r", type=REPLICAS, help="Replicas to read, else the cluster's.")
w_option = click.option("--w", type=REPLICAS, help="Replicas to write, else the cluster's.")
timeout_option = click.option(
    "--timeout", "timeout_s", type=Duration(), help="How long to wait, as in 500ms or 2s."
)
ttl_option = click.option(
    "--ttl", "ttl_s", type=Duration(), help="Time to live: then it is gone, as in 30m, 1h or 7d."
)
ephemeral_option = click.option(
    "--ephemeral", is_flag=True, default=None, help="With --ttl: leave no trace once it is gone."
)
if_absent_option = click.option(
    "--if-absent", is_flag=True, default=None, help="Only if nothing is stored there (best effort)."
)


def request_options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Add `options` to a command, which gets what was given of them as `request`."""

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def gather(**arguments: Any) -> Any:
            request = {name: arguments.pop(name) for name in NAMES if name in arguments}
            given = {name: value for name, value in request.items() if value is not None}
            return command(request=given, **arguments)

        for option in reversed(options):
            gather = option(gather)
        return gather

    return decorate


def refuse_for_files(request: dict[str, Any]) -> None:
    """Files have none of these: they are many keys, and cleaned up as files."""
    if request:
        names = (name.removesuffix("_s").replace("resolver", "resolve") for name in request)
        options = ", ".join(f"--{name.replace('_', '-')}" for name in names)
        raise click.UsageError(f"{options}: for plain keys only, not for files")
