"""docs/hosts.md is true: its files are written and its commands run as they stand, in a shell."""

import doctest
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.local_cluster import free_ports
from tests.cli.sshd import ROOT, SSHD, with_its_folder

PAGE = (ROOT / "docs" / "hosts.md").read_text("utf-8")
PORTS = ("7400", "7401", "7402", "7410", "7411", "2222")
END = "end of command"

pytestmark = pytest.mark.systems


def blocks(page: str) -> Iterator[tuple[str, str]]:
    """The page's blocks: language and text."""
    for found in re.finditer(r"^```(console|ini)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        yield found[1], found[2]


def commands(block: str) -> Iterator[tuple[str, str]]:
    """The commands of a block, and what each is to print. `> ` goes on with the one before."""
    for example in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = example.splitlines()
        more = [line[2:] for line in lines[1:] if line.startswith("> ")]
        printed = [line for line in lines[1:] if not line.startswith("> ")]
        yield "\n".join([lines[0], *more]), "\n".join(printed) + "\n"


def translated(page: str, folder: Path) -> str:
    """The page with ports that are free, and with places of this test."""
    for port, free in zip(PORTS, free_ports(len(PORTS))):
        page = re.sub(rf"\b{port}\b", str(free), page)
    page = re.sub("/tmp/(first|second)", rf"{folder}/\1", page)
    return page.replace("/srv/mapreduce/.venv/bin/python", str(folder / "bin" / "python"))


class Shell:
    """A shell in which one command runs after the other."""

    def __init__(self, folder: Path) -> None:
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        for name, module in (("python", ""), ("mapreduce", "-m cli.mapreduce"),
                             ("dynamo", "-m cli.dynamo")):  # fmt: skip
            script = bin_folder / name
            script.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} {module} "$@"\n')
            script.chmod(0o755)
        self._process = subprocess.Popen(
            [*with_its_folder(), "sh"], cwd=folder, text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}"},
        )  # fmt: skip

    def run(self, command: str) -> str:
        """What a command prints."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{command}\necho '{END}'\n")
        self._process.stdin.flush()
        printed = ""
        for line in self._process.stdout:
            if line == f"{END}\n":
                return printed
            printed += line
        raise AssertionError(f"the shell has ended: {printed}")

    def close(self) -> None:
        self.run("mapreduce down --config single.ini; mapreduce down --config cluster.ini")
        self.run("for there in first second; do (cd $there && mapreduce down); done")
        self.run("test ! -e sshd.pid || kill $(cat sshd.pid)")
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()


@pytest.mark.skipif(SSHD is None or not shutil.which("ssh"), reason="needs ssh and sshd")
def test_the_page_is_true(tmp_path: Path) -> None:
    page = translated(PAGE, tmp_path)
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    shell = Shell(tmp_path)
    try:
        for language, text in blocks(page):
            if language == "ini":
                if name := re.match(r"# (\w+\.ini)\n", text):
                    (tmp_path / name[1]).write_text(text)
                continue
            for command, expected in commands(text):
                printed = shell.run(command)
                assert checker.check_output(expected, printed, flags), f"$ {command}\n{printed}"
    finally:
        shell.close()
