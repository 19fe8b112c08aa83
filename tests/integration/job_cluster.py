"""A whole cluster of real processes, store nodes, masters and workers, and jobs on it that can be
held at a moment and let go on.

with JobCluster(folder) as cluster:
    job = cluster.begin(HeldJob("wc", held="map"))
    job.wait_until_held()
    cluster.kill("worker", "w1")
    job.let_go()
    job.check_end()
"""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import msgspec

from cli import processes
from cli.cluster_processes import ClusterProcesses, Server, servers
from cli.job_control import open_master
from cli.local_cluster import write_config
from cli.options import open_store
from cli.processes import Process
from dynamo import files
from dynamo.config import ClusterConfig
from mapreduce.cluster import history
from mapreduce.cluster.history import PastTask
from mapreduce.engine import paths, sources
from mapreduce.engine.orders import JobSpec
from mapreduce.runners import inline
from tests.mapreduce.specs import job_spec
from tests.waiting import wait_until

LONG_S = 30.0
"""How long anything may take, on a busy machine."""
LOOK_S = 0.1
"""How often what costs the cluster calls is looked at."""
MAPS, REDUCES = 4, 3
TEXTS = [f"to be or not to be, that is n{number}\n" * 5 for number in range(MAPS)]

SOURCE = b"""
import os
import random
import time
import zlib
from pathlib import Path

from mapreduce import Mapper, Reducer


class Held:
    def hold(self, moment):
        wanted, folder = self.context.params["held"], Path(self.context.params["folder"])
        if moment == wanted and not (folder / "open").exists():
            (folder / f"{self.context.task}.held").write_text(str(os.getpid()))
            while not (folder / "open").exists():
                time.sleep(0.01)

    @property
    def number(self):
        return int(self.context.task.partition(".")[0].partition("-")[2])


class MyMapper(Held, Mapper):
    def map(self, key, value):
        self.hold("map" if self.number else "first map")
        self.hold("last map" if self.number == 3 else "other map")
        self.context.count("lines")
        for word in value.split():
            yield word, 1

    def cleanup(self):
        bulk = random.Random(self.number)
        for _ in range(int(self.context.params["bulk"]) >> 14 if self.number else 0):
            yield "bulk %d" % bulk.randrange(30), bulk.randbytes(1 << 14)
        self.hold("store" if self.number == 1 else "other map")


class MyReducer(Held, Reducer):
    def setup(self):
        self.hold("setup")

    def reduce(self, key, values):
        yield key, sum(value if isinstance(value, int) else zlib.crc32(value) for value in values)
        self.hold("reduce")
"""


OWN_MOUNTS = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
"""What runs a command that may mount what nobody else sees."""


def why_no_mounts() -> str:
    """Why nothing can be mounted here for a process alone; "" if it can."""
    if shutil.which(OWN_MOUNTS[0]) is None:
        return "the command `unshare` (util-linux) is not installed"
    mount = [*OWN_MOUNTS, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    tried = subprocess.run(mount, capture_output=True, text=True, check=False)
    return f"mounts are not allowed here: {tried.stderr.strip()}" if tried.returncode else ""


class _Processes(ClusterProcesses):
    """Masters that can be held; and a worker, if it is named, with a small disk."""

    def __init__(self, config: ClusterConfig) -> None:
        super().__init__(config)
        self._small_disk: tuple[str, Path] | None = None

    @contextlib.contextmanager
    def small_disk_of(self, worker: str, folder: Path) -> Iterator[None]:
        """If the worker is started now, its tasks have a disk of 256 KiB only, at `folder`."""
        self._small_disk = worker, folder
        try:
            yield
        finally:
            self._small_disk = None

    def command(self, server: Server) -> list[str]:
        command = super().command(server)
        if server.kind == "master":
            options = command[command.index("--config") :]
            module = "tests.integration.serve_holding_master"
            return [sys.executable, "-m", module, server.name, *options]
        if server.kind == "worker":  # no two machines have the same hashes
            seed = "".join(filter(str.isdigit, server.name))
            command = ["env", f"PYTHONHASHSEED={seed}", *command]
        if server.kind == "worker" and self._small_disk and self._small_disk[0] == server.name:
            folder = self._small_disk[1]
            # It is mounted for this process and its children only, and goes with them.
            script = f'mount -t tmpfs -o size=256k tmpfs "{folder}" && exec "$@"'
            set_up = ["sh", "-c", script, "sh"]
            return [*OWN_MOUNTS, *set_up, "env", f"TMPDIR={folder}", *command]
        return command


class JobCluster:
    """Three store nodes, three masters and a worker with a single slot beside each node."""

    def __init__(self, folder: Path, slots: int = 1, masters: int = 3) -> None:
        self.config = write_config(folder, masters=masters, slots=slots)
        self._hold = folder / "hold"
        self._open = contextlib.ExitStack()
        self.processes = _Processes(self.config)
        self.orphans: list[Process] = []
        """What servers that were killed had started."""

    def __enter__(self) -> "JobCluster":
        with self._open:
            self._open.callback(self._end)
            self.start()
            self.master = open_master(self.config)
            self._open.callback(self.master.close)
            self.store = self._open.enter_context(open_store(self.config))
            for number, text in enumerate(TEXTS):
                files.write(self.store, f"/books/{number}.txt", io.BytesIO(text.encode()))
            self.wait_for_workers()
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.close()

    def _end(self) -> None:
        for process in self.processes.running().values():
            process.signal(signal.SIGCONT)
        self.processes.down(lambda line: None)

    # What may happen to it -----------------------------------------------------------------------

    def start(self) -> None:
        """Start what does not run, and wait until it answers."""
        self.processes.up(lambda line: None)

    def kill(self, kind: str, name: str) -> None:
        """kill -9 of one server."""
        victim = self.process(kind, name)
        self.orphans += processes.descendants([victim])
        victim.signal(signal.SIGKILL)
        wait_until(lambda: not victim.alive, LONG_S, f"the end of {kind} {name}")

    def process(self, kind: str, name: str) -> Process:
        (server,) = (s for s in servers(self.config) if (s.kind, s.name) == (kind, name))
        found = self.processes.process(server)
        assert found is not None, f"{server} does not run"
        return found

    def hold_commits(self) -> None:
        self._hold.touch()

    def let_commits_go_on(self) -> None:
        self._hold.unlink(missing_ok=True)

    # What it says --------------------------------------------------------------------------------

    @property
    def leader(self) -> str:
        """The master that leads."""
        wait_until(self._leaders, LONG_S, "a master that leads")
        return self._leaders()[0]

    def _leaders(self) -> list[str]:
        return [said["master"] for said in self.master.standings().values() if said["leads"]]

    def wait_for_workers(self) -> None:
        """Wait until all workers are known and idle."""
        wait_until(
            lambda: [w["running"] for w in self.master.workers()] == [0, 0, 0],
            LONG_S,
            "three idle workers",
        )

    def wait_until_no_orphan(self) -> None:
        wait_until(
            lambda: not any(process.alive for process in self.orphans),
            LONG_S,
            "the end of the killed servers' children",
        )
        self.orphans.clear()

    def keys(self, prefix: str) -> set[str]:
        return set(self.store.list(prefix))


class HeldJob:
    """A job whose tasks wait at the moment `held` until `let_go`; it moves `bulk_bytes` besides."""

    def __init__(
        self, cluster: JobCluster, folder: Path, name: str, held: str = "", **fields: object
    ) -> None:
        self.cluster, self.name, self._folder = cluster, name, folder
        bulk_bytes = fields.pop("bulk_bytes", 0)
        params = {"held": held, "folder": str(folder), "bulk": str(bulk_bytes)}
        params |= fields.pop("params", {})
        self._code = fields.pop("code_text", SOURCE)
        plain = {"reducers": REDUCES, "split_bytes": len(TEXTS[0]), "backups": False}
        self.spec = job_spec(name, params=params, **plain | fields)
        self._chunks_before = cluster.keys("file:")
        cluster.master.new_job(self.spec, self._code)
        cluster.master.run_job(name)

    def record(self) -> dict:
        return self.cluster.master.job_status(self.name)

    def let_go(self) -> None:
        (self._folder / "open").touch()

    def held(self) -> dict[str, int]:
        """The attempts that are held, and the processes they are in."""
        found = {path.stem: path.read_text() for path in self._folder.glob("*.held")}
        return {attempt: int(pid) for attempt, pid in found.items() if pid}

    def wait_until_held(self, count: int = 1) -> None:
        wait_until(lambda: len(self.held()) >= count, LONG_S, f"{count} held tasks")

    def past_tasks(self) -> list[PastTask]:
        """The tasks of the run, which has ended, as its history tells."""
        name, run = self.name, self.record()["run"]
        store = self.cluster.store
        wait_until(lambda: run in [r.run for r in history.runs(store, name)], LONG_S, "the history")
        return list(history.tasks(store, name, run))

    def pieces(self) -> set[str]:
        return self.cluster.keys(paths.pieces(self.record()["run"]))

    def worker_of(self, kind: str) -> str:
        """A worker that runs a task of this kind, which need not be the first to tell of it."""

        def at() -> list[str]:
            return [t["worker"] for t in self.record()["tasks"] if t["attempt"].startswith(kind)]

        wait_until(at, LONG_S, f"a {kind} that runs")
        return at()[-1]

    def wait_for_end(self) -> dict:
        def ended() -> bool:
            return self.record()["state"] not in ("new", "running")

        wait_until(ended, LONG_S, "the end", look_s=LOOK_S)
        return self.record()

    def check_end(self) -> dict:
        """It succeeds; output and counters are those of a job that nothing has happened to; nothing
        else is left of it."""
        record = self.wait_for_end()
        assert record["state"] == "succeeded", record["error"]
        parts, counters = self._expected()
        output = self.output()
        told = json.loads(output.pop("_SUCCESS"))
        assert output == parts
        assert told["counters"] == record["counters"]
        assert {name: record["counters"].get(name) for name in counters} == counters
        self.check_nothing_is_left()
        return record

    def check_nothing_is_left(self) -> None:
        pieces = f"the end of the pieces {self.pieces()}"
        wait_until(lambda: not self.pieces(), LONG_S, pieces, look_s=LOOK_S)
        wait_until(
            lambda: self.cluster.keys("file:") - self._chunks_before == self._chunks(),
            LONG_S,
            "the end of what nobody uses",
            look_s=LOOK_S,
        )
        self.cluster.wait_until_no_orphan()

    def output(self) -> dict[str, bytes]:
        store = self.cluster.store
        found = files.under(store, self.spec.output)
        return {path.rpartition("/")[2]: b"".join(files.read(store, path)) for path in found}

    def _chunks(self) -> set[str]:
        """The chunks of what is visible of its output."""
        store = self.cluster.store
        found = files.stat_many(store, files.under(store, self.spec.output))
        return {key for manifest in found.values() for key in manifest.chunk_keys}

    def _expected(self) -> tuple[dict[str, bytes], Counter[str]]:
        """What the inline runner makes of it."""
        folder = self._folder / "plain"
        folder.mkdir()
        for number, text in enumerate(TEXTS):
            (folder / f"{number}.txt").write_text(text)
        result = inline.run(_local(self.spec, self._code, folder), self._code)
        parts = {path.name: path.read_bytes() for path in folder.glob("out/part-*")}
        return parts, Counter(result.counters)


def _local(spec: JobSpec, code: bytes, folder: Path) -> JobSpec:
    """The same job over local files, held nowhere."""
    [given] = spec.inputs
    steps = sources.check_source(code, spec.code, spec.steps)
    if given.path == "/books":
        given = msgspec.structs.replace(given, path=f"{folder}/*.txt")
    return msgspec.structs.replace(
        spec,
        inputs=(given,),
        output=str(folder / "out"),
        steps=steps,
        params={**spec.params, "held": ""},
    )
