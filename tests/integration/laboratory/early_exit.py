"""Counts words; the reduces of some take until there is a file `open` in the folder, when the
others have long ended."""

import time
from pathlib import Path

from mapreduce import Mapper, Reducer

PATIENCE_S = 60.0


class MyMapper(Mapper):
    def map(self, key, value):
        for word in value.split():
            yield word, 1


class MyReducer(Reducer):
    def reduce(self, key, values):
        deadline = time.monotonic() + PATIENCE_S
        while key in ("whale", "ocean") and time.monotonic() < deadline:
            if (Path(self.context.params["folder"]) / "open").exists():
                break
            time.sleep(0.01)
        yield key, sum(values)
