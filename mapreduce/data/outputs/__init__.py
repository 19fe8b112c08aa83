"""Outputs: folders of parts, made visible at once, whichever attempts wrote them."""

from pathlib import Path

from dynamo.store import Store
from mapreduce.data.locations import Files, is_url
from mapreduce.data.outputs.contract import Output, PartWriter
from mapreduce.data.outputs.folder import FolderOutput
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
from mapreduce.data.outputs.store import StoreOutput

__all__ = [
    "FolderOutput",
    "Output",
    "Part",
    "PartWriter",
    "StoreOutput",
    "check_output_name",
    "holds_output",
    "is_main",
    "merged_name",
    "named_output_of",
    "named_part_name",
    "open_output",
    "part_name",
]


def open_output(kind: Files, path: str, store: Store) -> Output:
    """The output folder at `path`: an fsspec URL, or else a path in the store, or on this machine,
    as `kind` says."""
    if is_url(path):
        from mapreduce.data.outputs.url import UrlOutput  # fsspec takes a while to import

        return UrlOutput(path)
    return StoreOutput(store, path) if kind == "store" else FolderOutput(Path(path))
