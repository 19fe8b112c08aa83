"""Outputs: folders of parts, made visible at once, whichever attempts wrote them."""

from pathlib import Path

from dynamo.store import Store
from mapreduce.data.locations import Files, is_url
from mapreduce.data.outputs.contract import Output, PartWriter
from mapreduce.data.outputs.parts import (
    Part,
    check_output_name,
    holds_output,
    is_main,
    merged_name,
    named_output_of,
    named_part_name,
    part_name,
)

__all__ = [
    "Output",
    "Part",
    "PartWriter",
    "check_output_name",
    "holds_output",
    "is_main",
    "merged_name",
    "named_output_of",
    "named_part_name",
    "open_output",
    "part_name",
]


def open_output(kind: Files, path: str, store: Store, run: str = "") -> Output:
    """The output folder at `path`: an fsspec URL, or else a path in the store, or on this machine,
    as `kind` says. `run` is the job's run that writes there."""
    # Each is imported by the processes that use it: fsspec alone takes longer than a small task.
    if is_url(path):
        from mapreduce.data.outputs.url import UrlOutput

        return UrlOutput(path)
    if kind == "store":
        from mapreduce.data.outputs.store import StoreOutput

        return StoreOutput(store, path, run)
    from mapreduce.data.outputs.folder import FolderOutput

    return FolderOutput(Path(path))
