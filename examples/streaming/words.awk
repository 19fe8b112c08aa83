#!/usr/bin/awk -f
# A mapper: each word of each line, with a 1.
{ for (i = 1; i <= NF; i++) print $i "\t1" }
