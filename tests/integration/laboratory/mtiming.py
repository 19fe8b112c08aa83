"""Whether maps run at once: each waits until it has seen the mark of one in another worker.

The output has a line `worker-PID COUNT` for each worker: how many workers its maps saw at work.
"""

import os
import time
from pathlib import Path

from mapreduce import Mapper, Reducer

PATIENCE_S = 60.0


class MyMapper(Mapper):
    def map(self, key, value):
        folder, deadline = Path(self.context.params["folder"]), time.monotonic() + PATIENCE_S
        (folder / str(os.getppid())).touch()  # a task's parent is its worker
        while len(seen := list(folder.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        yield f"worker-{os.getppid()}", len(seen)


class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, min(values)
