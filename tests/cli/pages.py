"""Pages of docs/ as tests: their blocks of code, commands and what these are to print."""

import doctest
import re
import shlex
from collections.abc import Iterator

from click.testing import Result


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """A page's blocks of code: language and text."""
    for found in re.finditer(r"^```(console|python)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        yield found[1], found[2]


def commands(block: str) -> Iterator[tuple[list[str], str]]:
    """The command lines of a block, and what each is to print."""
    for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        line, _, printed = example.partition("\n")
        yield shlex.split(line), printed


def prints(result: Result, expected: str) -> None:
    """The output is as in the page, where ... stands for anything."""
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert checker.check_output(expected, result.stdout, flags), result.output
