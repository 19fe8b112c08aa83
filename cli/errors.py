"""From errors to one line on stderr and an exit code: 1 the cluster failed, 2 the caller erred."""

from typing import Any

import click

from dynamo.errors import DynamoError, RequestError


class Failure(click.ClickException):
    """One clear message and the exit code that says whose fault it is."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it from the instance


class CommandGroup(click.Group):
    """Commands whose errors reach the user as a line instead of a traceback.

    Commands are listed in the order in which they are written, which is the order of use.
    """

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except RequestError as error:
            raise Failure(str(error), exit_code=2) from error
        except DynamoError as error:
            raise Failure(str(error)) from error
        except BrokenPipeError:
            raise  # click ends quietly: `dynamo ls | head`
        except OSError as error:
            # The caller's own files: those of servers come as errors of dynamo.
            what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
            raise Failure(what, exit_code=2) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)
