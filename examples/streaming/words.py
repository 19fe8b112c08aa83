#!/usr/bin/env python3
"""A mapper: each word of each line, with a 1. Counts empty lines, and says which file it reads."""

import os
import sys

path = os.environ["mapreduce_map_input_file"]  # noqa: SIM112
print(f"reporter:status:reading {path}", file=sys.stderr)
for line in sys.stdin.buffer:
    words = line.split()
    if not words:
        print("reporter:counter:lines,empty,1", file=sys.stderr)
    for word in words:
        sys.stdout.buffer.write(word + b"\t1\n")
