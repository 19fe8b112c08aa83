#!/usr/bin/env python3
"""A reducer, and a combiner: lines come in order of their keys."""

import itertools
import sys


def pairs():
    for line in sys.stdin.buffer:
        word, _, count = line.partition(b"\t")
        yield word, int(count)


for word, same in itertools.groupby(pairs(), key=lambda pair: pair[0]):
    total = sum(count for _, count in same)
    sys.stdout.buffer.write(b"%s\t%d\n" % (word, total))
