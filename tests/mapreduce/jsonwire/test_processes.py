"""Our master and our workers, all real processes: whole jobs, deaths, the queue, the end."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mapreduce.jsonwire.site import HEARTBEAT_S, HELD, Site, end, kill, site_in
from tests.waiting import wait_until


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def test_jobs_that_come_before_any_worker_are_done_one_after_the_other_and_all_is_shut_down(
    site: Site,
) -> None:
    (site.folder / "var/job-7").mkdir(parents=True)
    site.start_master()
    assert list((site.folder / "var").iterdir()) == [], "of an earlier master"
    (site.folder / "empty").mkdir()
    site.job()
    site.job(mapper_executable="reduce.sh", input_directory="nowhere", output_directory="none")
    site.job(input_directory="empty", output_directory="nothing", num_mappers=1)
    site.job(output_directory="out/last", num_mappers=9, num_reducers=13)
    folders = [f"job-{job}/{name}-output" for job in range(4) for name in ("mapper", "reducer")]
    wait_until(
        lambda: all((site.folder / "var" / folder).is_dir() for folder in folders),
        30,
        "the folders of all jobs",
    )
    for _ in range(2):
        site.start_worker()
    site.wait_for("job-3 is done")
    site.shell("mv out/last last")
    site.check(0)
    site.check(3, "last")
    assert "job-1 is given up" in site.said("master")
    assert site.shell("cat nothing/*") == b""
    assert sorted(path.name for path in (site.folder / "nothing").iterdir()) == [
        "input_0",
        "input_1",
    ]

    site.tell(message_type="shutdown")
    assert [end(process) for process in (site.master, *site.workers) if process] == [0, 0, 0]
    said = site.said("master") + site.said("worker")
    assert "Traceback" not in said


PHASES = ("map", "sort", "reduce")


@pytest.mark.parametrize(
    "phases",
    [PHASES, *(pytest.param((phase,), marks=pytest.mark.systems) for phase in PHASES)],
    ids=" ".join,
)
def test_a_worker_that_is_killed_in_any_phase_changes_nothing_of_the_output(
    site: Site, phases: tuple[str, ...]
) -> None:
    site.program("bin/sort", HELD.format(name="sort", command="/usr/bin/sort"))
    site.program("held-map", HELD.format(name="map", command="./map.py"))
    site.program("held-reduce", HELD.format(name="reduce", command="./reduce.sh"))
    for phase in phases:
        (site.folder / f"{phase}.hold").touch()
    site.start_master()
    living = {site.start_worker().pid for _ in range(len(phases) + 1)}
    for pid in living:
        site.wait_for(f"worker {pid} at")
    site.job(mapper_executable="./held-map", reducer_executable="held-reduce", num_reducers=5)
    for phase in phases:
        living.remove(kill_one(site, phase, living))
    site.wait_for("job-0 is done")
    site.check()
    assert site.said("master").count("is dead") >= len(phases)


def kill_one(site: Site, phase: str, living: set[int]) -> int:
    """Wait until each living worker has a task of `phase` under way, kill one of them, and let the
    others go on."""
    log = site.folder / f"{phase}.held-by"
    wait_until(lambda: log.exists() and set(map(int, log.read_text().split())) == living, 30, phase)
    victim = int(log.read_text().split()[0])
    kill(victim)
    (site.folder / f"{phase}.hold").unlink()
    return victim


@pytest.mark.systems
def test_a_worker_that_was_stopped_comes_back_and_works(site: Site) -> None:
    site.start_master()
    worker = site.start_worker()
    site.wait_for("has registered")
    os.kill(worker.pid, signal.SIGSTOP)
    site.wait_for("is dead")
    site.job()
    os.kill(worker.pid, signal.SIGCONT)
    site.wait_for("is back")
    site.wait_for("job-0 is done")
    site.check()


@pytest.mark.systems
@pytest.mark.parametrize("seed", range(3))
def test_workers_that_die_stop_and_come_at_random_never_change_the_output(
    site: Site, seed: int
) -> None:
    """Four places for workers; whoever dies is followed by another at its port."""
    chance = random.Random(seed)
    # A map whose worker dies may still say that nobody reads what it writes: that is not looked at.
    quiet = "exec ./map.py 2> /dev/null"
    site.program("slow-map", f"#!/bin/bash\nsleep 0.$((RANDOM % 3))\n{quiet}\n")
    site.program("slow-reduce", "#!/bin/bash\nsleep 0.$((RANDOM % 3))\nexec ./reduce.sh\n")
    site.start_master()
    places = {number: site.start_worker(number) for number in (1, 2, 3, 4)}
    for job in range(3):
        programs = {"mapper_executable": "slow-map", "reducer_executable": "slow-reduce"}
        site.job(**programs, output_directory=f"out{job}", num_mappers=5, num_reducers=6)
    deadline = time.monotonic() + 120
    while "job-2 is done" not in site.said("master"):
        assert time.monotonic() < deadline, site.said("master")
        time.sleep(chance.uniform(0.1, 0.6))
        number = chance.choice(sorted(places))
        if chance.random() < 0.5:
            places[number].kill()
            places[number].wait()
            places[number] = site.start_worker(number)
        else:
            os.kill(places[number].pid, signal.SIGSTOP)
            time.sleep(chance.uniform(0.1, 2.0))
            os.kill(places[number].pid, signal.SIGCONT)
    for job in range(3):
        site.check(job, f"out{job}")
    assert "not whole" not in site.said("master")
    assert "Traceback" not in site.said("master") + site.said("worker")


@pytest.mark.systems
def test_a_master_that_was_stopped_takes_nobody_for_dead(site: Site) -> None:
    site.start_master()
    assert site.master
    site.start_worker()
    site.wait_for("has registered")
    os.kill(site.master.pid, signal.SIGSTOP)
    time.sleep(15 * HEARTBEAT_S)
    os.kill(site.master.pid, signal.SIGCONT)
    site.job()
    site.wait_for("job-0 is done")
    assert "dead" not in site.said("master")


@pytest.mark.systems
def test_by_default_a_worker_is_not_dead_before_twelve_seconds_without_a_heartbeat(
    site: Site,
) -> None:
    site.heartbeat_s = 2.0
    site.start_master()
    workers = [site.start_worker(), site.start_worker()]
    wait_until(lambda: site.said("master").count("has registered") == 2, 30, "both")
    site.program("held-map", HELD.format(name="map", command="./map.py"))
    (site.folder / "map.hold").touch()
    site.job(mapper_executable="held-map")
    kill(workers[0].pid)
    began = time.monotonic()
    (site.folder / "map.hold").unlink()
    site.wait_for("is dead")
    assert time.monotonic() - began > 9.5, "the last heartbeat was up to two seconds before"
    site.wait_for("job-0 is done")
    site.check()
