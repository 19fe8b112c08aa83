#!/usr/bin/awk -f
# A reducer, and a combiner: lines come in order of their keys, and a key has ended when another comes.
BEGIN { FS = OFS = "\t" }
$1 != key && NR > 1 { print key, total; total = 0 }
{ key = $1; total += $2 }
END { if (NR > 0) print key, total }
