"""The laboratory suite of MIT's course 6.824 (6.5840): what a coordinator and workers that ask it
for work have to hold, on a cluster of real processes. See docs/coordinator.md.

Its programs are in tests/integration/laboratory/. All of their jobs run at once here, and wait for
one another's marks and slots.
"""

import contextlib
import io
import itertools
import random
import runpy
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from cli.errors import Failure
from cli.job_control import open_master
from cli.mapreduce import main as mapreduce_main
from dynamo import files
from tests.cli.pages import blocks, commands, prints
from tests.integration.job_cluster import LONG_S, HeldJob, JobCluster
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
LABORATORY = Path(__file__).parent / "laboratory"
WORDS = ["whale", "ocean", "ships", "stars", "waves", "storm", "calms", "depth", "light", "crews"]
SLOTS = 3
SHORT_TROUBLE = 1894
"""A seed by which no task of four maps and four reduces is tried more than twice, though each phase
has its exits and its stalls."""


def shelf(books: int, lines: int) -> dict[str, str]:
    """Books of one size by their paths, so that each is a split of its own."""
    dice = random.Random(6824)
    sizes = [(f"/shelf/{number}.txt", lines) for number in range(books)]
    return {
        p: "".join(" ".join(dice.choices(WORDS, k=9)) + "\n" for _ in range(n)) for p, n in sizes
    }


BOOKS = shelf(8, 40)


class Laboratory:
    """A cluster with books, and jobs of the suite's programs on it."""

    def __init__(self, cluster: JobCluster, folder: Path, books: dict[str, str]) -> None:
        self.cluster, self._folder, self._books = cluster, folder, books
        for path, text in books.items():
            files.write(cluster.store, path, io.BytesIO(text.encode()))

    def begin(self, source: Path, name: str = "", **fields: object) -> HeldJob:
        """A job of a program over all books, a map task for each."""
        name = name or source.stem
        marks = self._folder / name
        marks.mkdir()
        size_bytes = len(next(iter(self._books.values())))
        plain = {"inputs": ("/shelf/*",), "split_bytes": size_bytes, "backups": True}
        given = plain | {"code_text": source.read_bytes()} | fields
        return HeldJob(self.cluster, marks, name, **given)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, HeldJob]]:
    """A job of each program, all of which run."""
    with JobCluster(tmp_path_factory.mktemp("cluster"), SLOTS, masters=1) as cluster:
        laboratory = Laboratory(cluster, tmp_path_factory.mktemp("marks"), BOOKS)
        several = SLOTS + 1  # more than one worker takes
        yield {
            job.name: job
            for job in (
                laboratory.begin(LABORATORY / "jobcount.py", input_format="whole", reducers=1),
                laboratory.begin(
                    LABORATORY / "crash.py",
                    inputs=("/shelf/[0-3].txt",),
                    input_format="whole",
                    reducers=4,
                    max_attempts=100,
                    time_limit_s=1.0,
                    params=trouble(SHORT_TROUBLE, stall_s=1000),
                ),
                laboratory.begin(
                    LABORATORY / "mtiming.py",
                    inputs=("/shelf/[0-3].txt",),
                    input_format="whole",
                    reducers=1,
                ),
                laboratory.begin(
                    LABORATORY / "rtiming.py",
                    inputs=("/shelf/0.txt",),
                    input_format="whole",
                    reducers=several,
                ),
                laboratory.begin(LABORATORY / "early_exit.py"),
                laboratory.begin(ROOT / "examples" / "wordcount.py"),
                laboratory.begin(LABORATORY / "indexer.py"),
                laboratory.begin(LABORATORY / "partition.py"),
            )
        }
        for record in cluster.master.jobs():
            if record["state"] == "running":
                cluster.master.kill_job(record["name"])


def trouble(seed: int, stall_s: float, victim: str = "task") -> dict[str, str]:
    return {"seed": str(seed), "stall_s": str(stall_s), "victim": victim}


def lines_of(job: HeldJob) -> list[str]:
    """All lines of the output, sorted, when the job has succeeded."""
    waits(job)
    assert job.record()["state"] == "succeeded", job.record()["error"]
    parts = [data for name, data in job.output().items() if name.startswith("part-")]
    assert all(not data or data.endswith(b"\n") for data in parts)
    return sorted(line.decode() for data in parts for line in data.split(b"\n")[:-1])


def sequential(source: Path, books: dict[str, str], whole: bool = False) -> list[str]:
    """The same lines by a plain program: all records to the mapper, then all values of a key to
    the reducer."""
    program = runpy.run_path(str(source))
    mapper, reducer = program["MyMapper"](), program["MyReducer"]()
    gathered = defaultdict(list)
    for path, text in books.items():
        mapper.context = SimpleNamespace(input=path)
        for record in [(path, text)] if whole else enumerate(text.splitlines()):
            for key, value in mapper.map(*record):
                gathered[key].append(value)
    pairs = (pair for key, values in gathered.items() for pair in reducer.reduce(key, values))
    return sorted(f"{key}\t{value}" for key, value in pairs)


# The output is that of a sequential run -----------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [ROOT / "examples" / "wordcount.py", LABORATORY / "indexer.py", LABORATORY / "partition.py"],
    ids=lambda source: source.stem,
)
def test_the_output_is_that_of_a_sequential_run(jobs: dict[str, HeldJob], source: Path) -> None:
    """Also where the partition of a key is `hash(key) mod R` by Python's own hash, though each
    worker was started with another seed for it: else a key's values would be torn apart."""
    assert lines_of(jobs[source.stem]) == sequential(source, BOOKS)


# Tasks really run at once -------------------------------------------------------------------------


def test_maps_run_at_once_in_several_workers(jobs: dict[str, HeldJob]) -> None:
    seen = [line.split("\t") for line in lines_of(jobs["mtiming"])]
    assert len(seen) >= 2
    assert all(worker.startswith("worker-") and int(count) >= 2 for worker, count in seen)


def test_reduces_run_at_once_in_several_workers(jobs: dict[str, HeldJob]) -> None:
    seen = [line.split("\t") for line in lines_of(jobs["rtiming"])]
    assert [letter for letter, _ in seen] == list("abcdefghij")
    assert all(int(count) >= 2 for _, count in seen)


# How often they run -------------------------------------------------------------------------------


def test_a_map_runs_once_if_nothing_fails_though_it_takes_up_to_five_seconds(
    jobs: dict[str, HeldJob],
) -> None:
    """Copies of slow tasks are allowed, as they are by default."""
    job = jobs["jobcount"]
    assert job.spec.backups
    assert lines_of(job) == ["maps\t8"]
    assert {task.task: len(task.attempts) for task in job.past_tasks() if "map" in task.task} == {
        f"map-{number:05}": 1 for number in range(8)
    }


@pytest.mark.systems
def test_the_page_s_run_by_hand_counts_eight(
    jobs: dict[str, HeldJob], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "coordinator.md").read_text("utf-8")
    [run] = [text for language, text in blocks(page) if language == "console"]
    (make, _), *others = commands(run.replace("/tmp/marks", str(tmp_path / "marks")))
    subprocess.run(make, check=True)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DYNAMO_CONFIG", str(jobs["jobcount"].cluster.config.path))
    for (_, *arguments), expected in others:
        prints(CliRunner().invoke(mapreduce_main, arguments), expected)


# The end ------------------------------------------------------------------------------------------


def test_when_anybody_says_that_it_is_the_end_the_output_is_final(jobs: dict[str, HeldJob]) -> None:
    job = jobs["early_exit"]
    wait_until(lambda: job.record()["reduce"]["done"] > 0, LONG_S, "the reduces that are quick")
    with ThreadPoolExecutor() as observers:
        seen = [observers.submit(observed, job, ended) for ended in (waits, asks, looks)]
        assert job.record()["state"] == "running"
        assert job.output() == {}
        assert not any(future.done() for future in seen)
        (Path(job.spec.params["folder"]) / "open").touch()
    output = job.output()
    assert all(future.result() == output for future in seen)
    assert lines_of(job) == sequential(ROOT / "examples" / "wordcount.py", BOOKS)


def observed(job: HeldJob, until_the_end: Callable[[HeldJob], None]) -> dict[str, bytes]:
    """The output at the moment that somebody has learnt of the end."""
    until_the_end(job)
    return job.output()


def waits(job: HeldJob) -> None:
    with contextlib.closing(open_master(job.cluster.config)) as master:
        while master.await_job(job.name, 0.5)["state"] == "running":
            pass


def asks(job: HeldJob) -> None:
    with contextlib.closing(open_master(job.cluster.config)) as master:
        wait_until(lambda: master.job_status(job.name)["ended_at"], 2 * LONG_S, "the end")


def looks(job: HeldJob) -> None:
    success = f"{job.spec.output}/_SUCCESS"
    wait_until(lambda: files.under(job.cluster.store, success), 2 * LONG_S, success)


# Exits and stalls ---------------------------------------------------------------------------------


def test_tasks_that_exit_or_stall_at_random_do_not_change_the_output(
    jobs: dict[str, HeldJob],
) -> None:
    job = jobs["crash"]
    books = {path: BOOKS[path] for path in list(BOOKS)[:4]}
    assert lines_of(job) == without_trouble(books)
    assert fates(job).keys() == set(
        itertools.product(("map", "reduce"), ("exit", "stall", "go on"))
    )


def fates(job: HeldJob) -> Counter[tuple[str, str]]:
    """How often what has happened in which phase."""
    marks = [path.name for path in Path(job.spec.params["folder"]).iterdir()]
    return Counter((mark.partition("-")[0], mark.split(maxsplit=4)[-1]) for mark in marks)


def without_trouble(books: dict[str, str]) -> list[str]:
    """What `crash` has to give."""
    sizes = {
        "a": sorted(books),
        "b": sorted(str(len(path)) for path in books),
        "c": sorted(str(len(text)) for text in books.values()),
        "d": ["xyzzy"] * len(books),
    }
    return [f"{key}\t{' '.join(values)}" for key, values in sizes.items()]


# At full length -----------------------------------------------------------------------------------


@pytest.fixture
def calm(tmp_path: Path) -> Iterator[JobCluster]:
    """Workers with a slot each, as those of the laboratory, and nothing else to do."""
    (tmp_path / "cluster").mkdir()
    with JobCluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.mark.systems
@pytest.mark.parametrize(
    "source",
    [ROOT / "examples" / "wordcount.py", LABORATORY / "indexer.py"],
    ids=lambda source: source.stem,
)
def test_books_of_megabytes_and_ten_reduces(calm: JobCluster, tmp_path: Path, source: Path) -> None:
    books = shelf(8, 20_000)
    job = Laboratory(calm, tmp_path, books).begin(source, reducers=10)
    assert lines_of(job) == sequential(source, books)


@pytest.mark.systems
def test_maps_run_once_where_they_wait_for_one_another_too(
    calm: JobCluster, tmp_path: Path
) -> None:
    laboratory = Laboratory(calm, tmp_path, BOOKS)
    for number in range(3):
        given = {"input_format": "whole", "reducers": 1}
        job = laboratory.begin(LABORATORY / "jobcount.py", f"jobcount-{number}", **given)
        assert lines_of(job) == ["maps\t8"]


@pytest.mark.systems
@pytest.mark.parametrize("victim", ["task", "worker"])
@pytest.mark.parametrize("seed", [1, 2])
def test_exits_and_stalls_of_ten_seconds(
    calm: JobCluster, tmp_path: Path, seed: int, victim: str
) -> None:
    """Where it is the workers that end, they are started again every second, as in the suite."""
    job = Laboratory(calm, tmp_path, BOOKS).begin(
        LABORATORY / "crash.py",
        input_format="whole",
        reducers=10,
        max_attempts=100,
        params=trouble(seed, stall_s=10, victim=victim),
    )
    while job.record()["state"] == "running":
        with contextlib.suppress(Failure):  # one has ended while it was being started
            calm.start()
        time.sleep(1.0)
    assert lines_of(job) == without_trouble(BOOKS)
    assert fates(job)["map", "exit"] > 0
