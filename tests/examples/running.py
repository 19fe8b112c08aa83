"""Examples as `mapreduce run` runs them: described by the command line's own function."""

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cli.cluster_processes import ClusterProcesses
from cli.describing import describe
from cli.local_cluster import write_config
from mapreduce.runners import inline, local

EXAMPLES = Path(__file__).parents[2] / "examples"
RUNNERS: dict[str, Callable[..., Any]] = {
    "inline": inline.run,
    "local": functools.partial(local.run, processes=2),
}


class Ran(NamedTuple):
    """What an example has written. `parts` are the texts of the main output, by partition."""

    parts: list[str]
    folder: Path
    counters: dict[str, int]

    @property
    def lines(self) -> list[str]:
        return [line for part in self.parts for line in part.split("\n")[:-1]]

    @property
    def pairs(self) -> dict[str, str]:
        """Lines cut at their tab; no key may come twice."""
        return only_once(line.partition("\t")[::2] for line in self.lines)

    @property
    def values(self) -> list[Any]:
        """Lines that are JSON."""
        return [json.loads(line) for line in self.lines]

    def rows(self, header: str) -> list[list[str]]:
        """Lines that are CSV without quotes; each file begins with `header`."""
        assert all(part.startswith(header + "\n") for part in self.parts)
        return [line.split(",") for line in self.lines if line != header]

    def named(self, name: str) -> list[str]:
        """The lines of all files of a named output."""
        files = sorted(self.folder.glob(f"{name}-*"))
        return [line for file in files for line in file.read_text().split("\n")[:-1]]


def run(
    example: str,
    *inputs: Path | str,
    output: Path,
    runner: str = "inline",
    split_bytes: int = 1000,
    **options: Any,
) -> Ran:
    """Run examples/`example`.py with splits of a size that gives it many; `params` are for --set,
    `options` those of `cli.describing.job_options`."""
    spec, code = describe(
        example, EXAMPLES / f"{example}.py", tuple(map(str, inputs)), str(output), **options
    )
    result = RUNNERS[runner](msgspec.structs.replace(spec, split_bytes=split_bytes), code)
    parts = [(output / name).read_text() for name in result.parts]
    return Ran(parts, output, result.counters)


def commands_of(page: str) -> list[str]:
    """The command lines of a page of docs/."""
    return [
        line
        for block in re.findall(r"^```console\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        for line in re.findall(r"^\$ (.*)$", block.replace("\\\n", " "), re.MULTILINE)
    ]


def on_a_cluster(commands: Iterable[str], folder: Path) -> list[str]:
    """Run commands of a page in a shell, in a folder with the examples and a cluster.ini, and
    return the lines that they print. Whatever runs of the cluster is stopped."""
    (folder / "examples").symlink_to(EXAMPLES)
    config = write_config(folder, workers=2, slots=2)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent), "PATH": path}
    try:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
            cwd=folder, env=environment, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
    finally:
        ClusterProcesses(config).down(lambda line: None)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def only_once(pairs: Any) -> dict[Any, Any]:
    found = list(pairs)
    assert len(dict(found)) == len(found)
    return dict(found)
