"""Before each map and each reduce a process ends or stalls, each in a third of the cases.

By `--set victim=worker` it is the worker that ends, with all its tasks. A stall takes up to
`--set stall_s=10` seconds. What happens follows from `--set seed=1`, the task and how often it was
tried; the marks in the folder tell of it.
"""

import os
import random
import signal
import time
from pathlib import Path

from mapreduce import Mapper, Reducer


class Unsafe:
    def maybe_crash(self, key):
        params = self.context.params
        folder, task = Path(params["folder"]), self.context.task.partition(".")[0]
        tries = len(list(folder.glob(f"{task} {key} *")))
        dice = random.Random(f"{params['seed']} {task} {key} {tries}")
        fate = dice.choice(("exit", "stall", "go on"))
        (folder / f"{task} {key} {tries} {os.getpid()} {fate}").touch()
        if fate == "stall":
            time.sleep(dice.uniform(0.0, float(params["stall_s"])))
        elif fate == "exit" and params["victim"] == "worker":
            os.kill(os.getppid(), signal.SIGKILL)
        elif fate == "exit":
            os._exit(1)


class MyMapper(Unsafe, Mapper):
    def map(self, key, value):
        self.maybe_crash("-")
        yield "a", key
        yield "b", len(key)
        yield "c", len(value)
        yield "d", "xyzzy"


def MyPartitioner(key, partitions):  # noqa: N802
    return ord(key) % partitions


class MyReducer(Unsafe, Reducer):
    def reduce(self, key, values):
        self.maybe_crash(key)
        yield key, " ".join(sorted(map(str, values)))
