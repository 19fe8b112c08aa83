#!/usr/bin/env python3
"""Lines `word TAB number` on stdin, those of a word together, as `word TAB sum` on stdout."""

import itertools
import sys

pairs = (line.rstrip(b"\n").rsplit(b"\t", 1) for line in sys.stdin.buffer)
for word, group in itertools.groupby(pairs, key=lambda pair: pair[0]):
    sys.stdout.buffer.write(b"%s\t%d\n" % (word, sum(int(number) for _, number in group)))
