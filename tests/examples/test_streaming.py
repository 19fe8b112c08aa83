"""The runs that docs/streaming.md shows give what it shows."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.mapreduce import main
from tests.examples.running import EXAMPLES

PAGE = (EXAMPLES.parent / "docs" / "streaming.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)
BOOK = "to be or not to be\nthat is the question\n"


def test_the_runs_of_the_page_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examples").symlink_to(EXAMPLES)
    (tmp_path / "book.txt").write_text(BOOK)
    monkeypatch.chdir(tmp_path)
    commands = 0
    for block in BLOCKS:
        for command, _, shown in (part.partition("\n") for part in block.split("$ ")[1:]):
            assert said(command) == shown, command
            commands += 1
    assert commands == 10


def said(command: str) -> str:
    """What a command prints; of `mapreduce` its errors, as the rest has times in it."""
    if command.startswith("mapreduce "):
        result = CliRunner().invoke(main, [*shlex.split(command)[1:], "--processes", "1"])
        return result.stderr if result.exit_code else ""
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True, text=True)
    assert done.stderr == ""
    return done.stdout
