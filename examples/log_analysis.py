"""Analyses the logs of a web server: requests, errors and bytes of each page by hour.

    mapreduce run examples/log_analysis.py 'logs/*' -o out/ --set reducers=2

Input: lines of the Common Log Format (Apache, nginx and others), compressed (.gz, .zst, ...) or
not. Output: JSON lines, one for each page and hour:

    {"page": "/index.html", "hour": "2000-10-10T13", "requests": 2, "errors": 0, "bytes": 4652}

and beside them two named outputs, written by the mappers: `failures`, JSON lines with each request
that the server could not answer (status 500 or more), and `bad`, the lines that are no requests,
each with its file and position, because a log of many millions always has some. The counters in the
summary say how many requests had which kind of status. Hours are those of the server's own clock.
"""

import functools
import re
from datetime import datetime

from mapreduce import Job, Mapper, Reducer

request = re.compile(
    r'(?P<host>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "\S+ (?P<page>[^ ?"]+)[^"]*"'
    r" (?P<status>\d{3}) (?P<bytes>\d+|-)"
).match


class Requests(Mapper):
    def map(self, key, value):
        try:
            found = request(value).groupdict()
            moment = datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z")
        except (AttributeError, ValueError):  # no match, or no such date
            self.context.emit(f"{self.context.input}:{key}", value, to="bad")
            return
        status = int(found["status"])
        self.context.count(f"status {status // 100}xx")
        if status >= 500:
            self.context.emit(found["page"], found, to="failures")
        size = 0 if found["bytes"] == "-" else int(found["bytes"])
        yield (found["page"], f"{moment:%Y-%m-%dT%H}"), (1, int(status >= 400), size)


def added(one, other):
    return tuple(map(sum, zip(one, other)))


class PageHour(Reducer):
    def reduce(self, key, values):
        page, hour = key
        requests, errors, size = functools.reduce(added, values)
        row = {"page": page, "hour": hour, "requests": requests, "errors": errors, "bytes": size}
        yield key, row


def job(reducers: int = 1) -> Job:
    return Job(
        "log-analysis",
        mapper=Requests,
        combiner=added,
        reducer=PageHour,
        reducers=reducers,
        input_format="text:errors=replace",
        output_format="jsonlines:keys=no",
        outputs={"bad": "text", "failures": "jsonlines:keys=no"},
    )
