"""Grep: the lines that match a pattern, each with its file and its position in bytes.

    mapreduce run examples/grep.py 'logs/*.log' -o out/ --set pattern='"(GET|PUT) /[0-9]+'

Input: any lines of text. Output: `file:position TAB line`, in the order of the input. Lines that
are not UTF-8 are searched too: `errors=replace` puts a mark in place of what can't be read.

A job without a reducer: what the mapper gives is the output, and nothing is sorted or shuffled.
`map_batch` is called once for some thousand records and not for each. The pattern is a parameter of
the job; the function `job` says that there has to be one. (Dean & Ghemawat, "MapReduce: Simplified
Data Processing on Large Clusters", OSDI 2004, section 2.3.)
"""

import re

from mapreduce import Job, Mapper


class Grep(Mapper):
    def setup(self):
        self.matches = re.compile(self.context.params["pattern"]).search

    def map_batch(self, records):
        path = self.context.input
        return [(f"{path}:{key}", line) for key, line in records if self.matches(line)]


def job(pattern: str) -> Job:
    re.compile(pattern)  # a pattern that is none is refused here, before anything runs
    return Job("grep", mapper=Grep, input_format="text:errors=replace", params={"pattern": pattern})
