#!/bin/bash
# Words of lines on stdin, as lines `word TAB 1` on stdout.
export LC_ALL=C
tr -s '[:space:]' '\n' | sed -n 's/.$/&\t1/p'
