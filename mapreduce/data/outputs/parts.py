"""Parts of an output, and the names of files in an output folder.

    part-00003.csv         what task 3 wrote as the job's output
    errors-m-00003.jsonl   what map task 3 emitted to the named output "errors"; r: a reduce task
    errors-2-m-00003.jsonl the same in the job's second step
    merged.csv             all parts of the job's output, one behind the other, in their place
    _SUCCESS               the summary, as JSON: the output is whole

The names end with the extension of their format.
"""

import re
from typing import Literal

import msgspec

from mapreduce.data.locations import SUCCESS
from mapreduce.errors import JobError

_MAIN = re.compile(r"part-\d{5,}(\.\S+)?")
_NAMED = re.compile(r"([A-Za-z0-9][A-Za-z0-9_]*)(-\d+)?-[mr]-\d{5,}(\.\S+)?")
_MERGED = re.compile(r"merged(\.\S+)?")
_OUTPUT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_]{0,99}")


class Part(msgspec.Struct, frozen=True, array_like=True):
    """One attempt's output, stored but not yet visible under its final name."""

    name: str
    """The final name inside the output folder, such as part-00003."""
    token: bytes
    """What the output's store needs to make it visible or delete it; opaque elsewhere."""
    size_bytes: int
    records: int


def part_name(index: int, extension: str = "") -> str:
    """The name of a task's part of the job's output.

    >>> part_name(3, ".csv")
    'part-00003.csv'
    """
    return f"part-{index:05d}{extension}"


def named_part_name(
    output: str, kind: Literal["map", "reduce"], index: int, extension: str = "", step: int = 0
) -> str:
    """The name of a task's part of a named output; `step` counts from 0.

    >>> named_part_name("errors", "map", 3, ".jsonl"), named_part_name("errors", "map", 3, step=1)
    ('errors-m-00003.jsonl', 'errors-2-m-00003')
    """
    of_step = f"-{step + 1}" if step else ""
    return f"{output}{of_step}-{kind[0]}-{index:05d}{extension}"


def merged_name(extension: str = "") -> str:
    """The name of the file that holds all parts."""
    return f"merged{extension}"


def check_output_name(name: str) -> None:
    """Raise if a job can't have a named output of that name."""
    if not _OUTPUT_NAME.fullmatch(name):
        raise JobError(
            f"{name!r} can't name an output: a name has 1 to 100 letters, digits or '_', the "
            "first a letter or digit"
        )


def is_main(name: str) -> bool:
    """True for a part of the job's output itself, False for one of a named output.

    >>> is_main("part-00003.csv"), is_main("errors-m-00003.csv"), is_main("merged.csv")
    (True, False, False)
    """
    return _MAIN.fullmatch(name) is not None


def holds_output(name: str) -> bool:
    """True for the files that together are the job's output itself: its parts, or all in one."""
    return is_main(name) or _MERGED.fullmatch(name) is not None


def named_output_of(name: str) -> str:
    """The named output that a file is a part of; "" for any other file.

    >>> named_output_of("errors-m-00003.csv"), named_output_of("part-00003.csv")
    ('errors', '')
    """
    found = _NAMED.fullmatch(name)
    return found[1] if found else ""


def made_by_commit(name: str) -> bool:
    """True for every name that a commit gives: whatever else is in a folder is somebody else's."""
    return name == SUCCESS or holds_output(name) or _NAMED.fullmatch(name) is not None
