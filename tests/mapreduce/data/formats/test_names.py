"""The names of formats, and what is said of wrong ones."""

import pytest

from mapreduce.data import formats
from mapreduce.errors import JobError


def test_unknown_formats_are_refused_with_what_there_is() -> None:
    with pytest.raises(JobError, match="no input format 'xml'; there are text, pairs"):
        formats.reading("xml")
    with pytest.raises(JobError, match="no output format 'xml'; there are text"):
        formats.writing("xml")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("text:colour=red", r"has no option 'colour=red'.*; it has errors=strict\|replace"),
        ("text:errors", "has no option 'errors'"),
        ("text:errors=strict:errors=strict", "has no option 'errors=strict' .once."),
        ("text:errors=maybe", "errors of the input format text is strict or replace or"),
        ("pickle:size=1", "it has none"),
    ],
)
def test_so_are_options_and_their_values(name: str, says: str) -> None:
    with pytest.raises(JobError, match=says):
        formats.reading(name)


@pytest.mark.parametrize(
    ("name", "extension"),
    [("text", ""), ("text:compress=gzip", ".gz"), ("pickle:compress=zstd", ".zst")],
)
def test_extensions(name: str, extension: str) -> None:
    assert formats.writing(name).extension == extension
