#!/usr/bin/env python3
"""Words of lines on stdin, as lines `word TAB 1` on stdout."""

import sys

for line in sys.stdin.buffer:
    sys.stdout.buffer.writelines(word + b"\t1\n" for word in line.split())
