"""Whether reduces run at once: each waits until it has seen the mark of one in another worker.

The output has a line `LETTER COUNT` for each reduce: how many workers it saw at work.
"""

import os
import time
from pathlib import Path

from mapreduce import Mapper, Reducer

PATIENCE_S = 60.0
LETTERS = "abcdefghij"


class MyMapper(Mapper):
    def map(self, key, value):
        for letter in LETTERS:
            yield letter, 1


def MyPartitioner(letter, partitions):  # noqa: N802
    return LETTERS.index(letter) % partitions


class MyReducer(Reducer):
    def reduce(self, key, values):
        folder, deadline = Path(self.context.params["folder"]), time.monotonic() + PATIENCE_S
        (folder / str(os.getppid())).touch()  # a task's parent is its worker
        while len(seen := list(folder.iterdir())) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        yield key, len(seen)
