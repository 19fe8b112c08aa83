"""The run in docs/json-protocol.md does what it says, with other ports."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.mapreduce.jsonwire.site import LONG_S, end, free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "json-protocol.md"


def blocks() -> list[str]:
    return re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def with_ports(text: str, port: int) -> str:
    return re.sub(r"\b600(\d)\b", lambda found: str(port + int(found[1])), text)


class Shell:
    """Types the lines of a block one after the other, and compares what they print."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.background: list[subprocess.Popen[bytes]] = []
        self.log = folder / "log"

    def said(self) -> str:
        return self.log.read_text()

    def type(self, block: str) -> None:
        for part in block.removeprefix("$ ").split("\n$ "):
            line, _, expected = with_ports(part, self.port).partition("\n")
            if line.startswith("cd "):
                self.folder /= line.removeprefix("cd ")
            elif line.endswith(" &"):
                self.start(line.removesuffix(" &"))
            else:
                done = subprocess.check_output(line, shell=True, cwd=self.folder, text=True)
                assert done.rstrip() == expected.rstrip(), line

    def start(self, line: str) -> None:
        before = len(self.background)
        with self.log.open("ab") as log:
            process = subprocess.Popen(f"exec {line}", shell=True, cwd=self.folder, stderr=log)
        self.background.append(process)
        ready = "has registered" if before else "master listens"
        wait_until(lambda: self.said().count(ready) == max(1, before), LONG_S, line)


@pytest.mark.systems
def test_the_lines_of_the_document(tmp_path: Path) -> None:
    for name in ("examples", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    shell = Shell(tmp_path)
    first, second = blocks()
    try:
        shell.type(first)
        wait_until(lambda: "job-0 is done" in shell.said(), LONG_S, "the job")
        shell.type(second)
        assert [end(process) for process in shell.background] == [0, 0, 0]
    finally:
        for process in shell.background:
            process.kill()
            process.wait()


def test_the_examples_are_executable() -> None:
    folder = ROOT / "examples/executables/word_count"
    assert all(os.access(path, os.X_OK) for path in folder.iterdir())
    assert {path.name for path in folder.iterdir()} == {
        "map.py",
        "map.sh",
        "reduce.py",
        "reduce.sh",
    }
