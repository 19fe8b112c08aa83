"""A job of some minutes while servers die at random: what to kill and when is drawn by a seed.

    make faults SEED=7

At most one store node and one master are away at a time, as three copies and three masters promise;
workers may go all at once. Real processes don't do the same twice, so a seed draws the same faults,
but not the same run.
"""

import os
import time
from pathlib import Path
from random import Random

import pytest

from tests.integration.job_cluster import HeldJob, JobCluster

TASKS, REDUCES = 1200, 12
LONGEST_S = 900.0
"""How long the job may take; without faults it is a minute and a half."""

SOURCE = b"""
import random
import time

from mapreduce import Mapper, Reducer


class MyMapper(Mapper):
    def map(self, key, value):
        number = int(value)
        if self.context.params["held"]:
            time.sleep(random.Random(number).random() * 0.6)
        self.context.count("numbers")
        for place in range(20):
            yield number * place % 97, "%d of %d" % (place, number)


class MyReducer(Reducer):
    def reduce(self, key, values):
        if self.context.params["held"]:
            time.sleep(0.2)
        yield key, " ".join(values)
"""


class Trouble:
    """Kills servers and starts them again, until a job is over."""

    def __init__(self, cluster: JobCluster, job: HeldJob, seed: int) -> None:
        self._cluster = cluster
        self._job = job
        self._random = Random(seed)
        self._deadline = time.monotonic() + LONGEST_S
        self.killed: list[str] = []

    def go_on(self) -> None:
        while not self._is_over(self._random.uniform(1.0, 5.0)):
            away = self._victims()
            for kind, name in away:
                self._cluster.kill(kind, name)
                self.killed.append(f"{kind} {name}")
            self._is_over(self._random.uniform(0.0, 4.0))
            self._cluster.start()

    def _victims(self) -> list[tuple[str, str]]:
        """Who goes together: some workers, a node, a master, and mostly the leading one."""
        chosen = self._random
        workers = [("worker", f"w{number}") for number in (1, 2, 3)]
        victims = chosen.sample(workers, chosen.choice((0, 1, 1, 2, 3)))
        if chosen.random() < 0.4:
            victims.append(("node", chosen.choice(("n1", "n2", "n3"))))
        if chosen.random() < 0.4:
            leads, other = chosen.random() < 0.7, chosen.choice(("m1", "m2", "m3"))
            victims.append(("master", self._cluster.leader if leads else other))
        return victims

    def _is_over(self, wait_s: float) -> bool:
        """Let so much time pass; True as soon as the job has ended."""
        until = time.monotonic() + wait_s
        while self._job.record()["state"] == "running":
            assert time.monotonic() < self._deadline, f"still running: {self._job.record()}"
            if time.monotonic() > until:
                return False
            time.sleep(0.1)
        return True


@pytest.mark.faults
@pytest.mark.timeout(LONGEST_S + 120.0)
def test_servers_that_die_at_random_change_nothing(tmp_path: Path) -> None:
    seed = int(os.environ.get("FAULTS_SEED", "1"))
    with JobCluster(tmp_path, slots=2) as cluster:
        inputs = (f"range:{TASKS}",)
        given = {"code_text": SOURCE, "inputs": inputs, "reducers": REDUCES, "backups": True}
        job = HeldJob(cluster, tmp_path, "random", "slow", **given)
        trouble = Trouble(cluster, job, seed)
        trouble.go_on()
        record = job.check_end()
        print(
            f"seed {seed}: {len(trouble.killed)} servers killed, "
            f"{record['takeovers']} times another master, {record['backups']} copies"
        )
        assert trouble.killed
        assert record["counters"]["numbers"] == TASKS
