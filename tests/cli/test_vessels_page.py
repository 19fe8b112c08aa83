"""docs/vessels.md is true, on a real cluster."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.dynamo import main as dynamo_main
from cli.mapreduce import main as mapreduce_main
from dynamo.config import ClusterConfig
from tests.cli.conftest import Call, done
from tests.cli.pages import blocks, commands, prints

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "vessels.md").read_text("utf-8")
COMMANDS = {"mapreduce": mapreduce_main, "dynamo": dynamo_main}


def test_the_page_is_true(
    config: ClusterConfig, mapreduce: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    for language, text in blocks(PAGE):
        if source := re.match(r"# (\w+\.py)\n", text):
            (tmp_path / source[1]).write_text(text)
        elif language == "console":
            for (program, *arguments), expected in commands(text):
                prints(done(CliRunner().invoke(COMMANDS[program], arguments)), expected)
    halves = [line.split("\t")[0] for line in (tmp_path / "halves.tsv").read_text().splitlines()]
    assert halves == sorted(halves) and {"a", "the"} <= set(halves)
    first = done(CliRunner().invoke(dynamo_main, ["get", "/out/halves/part-00000"])).stdout
    assert all(line < "n" for line in first.splitlines())
