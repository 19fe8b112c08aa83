"""How often maps are run that take two to five seconds: the output is one line, `maps COUNT`."""

import time
from pathlib import Path

from mapreduce import Mapper, Reducer

SECONDS = (5.0, 4.9, 2.0, 2.1, 2.2, 2.3, 2.4, 2.0)


class MyMapper(Mapper):
    """Half of the tasks take their time before they have read anything, half after it."""

    def setup(self):
        self.number = int(self.context.task.partition(".")[0].partition("-")[2])
        (Path(self.context.params["folder"]) / self.context.task).touch(exist_ok=False)
        if self.number % 2 == 0:
            self.take_time()

    def map(self, key, value):
        if self.number % 2:
            self.take_time()
        yield "maps", 1

    def take_time(self):
        time.sleep(SECONDS[self.number % len(SECONDS)])


class MyReducer(Reducer):
    def reduce(self, key, values):
        yield key, len(list(Path(self.context.params["folder"]).iterdir()))
