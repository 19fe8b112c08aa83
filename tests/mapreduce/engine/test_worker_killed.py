"""A worker that is killed leaves no task behind, be it stopped or in a sandbox, and no folder."""

import subprocess
import sys
from pathlib import Path

import pytest

from mapreduce.engine import killing
from tests.mapreduce.engine.bench import alive, stat
from tests.mapreduce.engine.boxes import needs_bwrap
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.systems,
    pytest.mark.skipif(sys.platform != "linux", reason="sandboxes and limits need Linux"),
]

WORKER = """
import sys, time
from pathlib import Path
from mapreduce.engine import sandbox
from mapreduce.engine.allowance import Allowance, Door
from tests.mapreduce.engine.bench import Bench

folder, mode = Path(sys.argv[1]), sys.argv[2]
store = str(folder / "store")
with sandbox.home() as home:
    print(home, flush=True)
    allowance = Allowance(
        worker="w1", sandbox=mode, cpu_share=0.01, home=home, doors=(Door(store, store, True),)
    )
    bench = Bench(folder, allowance=allowance)
    begins = f"open({store!r} + '/runs', 'w').close()"
    bench.executor.start(*bench.order(begins + "\\nos.fork()\\nwhile True: pass"))
    time.sleep(600)
"""


@pytest.mark.parametrize("mode", ["limits", pytest.param("bwrap", marks=needs_bwrap)])
def test_tasks_end_with_their_worker_though_they_are_stopped(tmp_path: Path, mode: str) -> None:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(tmp_path), mode], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout
    with worker:
        try:
            home = Path(worker.stdout.readline().strip())
            wait_until(lambda: (tmp_path / "store" / "runs").exists(), 60, "the task")
            tasks = killing.descendants(worker.pid)
            wait_until(lambda: [stat(pid)[:1] for pid in tasks].count([b"T"]) > 0, 60, "a stop")
        finally:
            worker.kill()
    wait_until(lambda: not any(map(alive, tasks)), 20, "the end of the tasks")
    wait_until(lambda: not home.exists(), 20, "the end of the folder")
