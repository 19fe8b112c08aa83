#!/bin/bash
# Lines `word TAB 1` on stdin, those of a word together, as `word TAB sum` on stdout.
export LC_ALL=C
cut -f 1 | uniq -c | sed -E 's/^ *([0-9]+) (.*)$/\2\t\1/'
