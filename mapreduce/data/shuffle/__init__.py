"""From map to reduce: partition, combine, sort, spill, store as pieces, merge, group.

`Collector` is the map side, or `LineCollector` for what executables write; `grouped` is the reduce
side, or `by_map`. What lies between them is a `Piece`, one sorted run of one map attempt for one
partition. Both sides keep to a budget of memory. The format of what is stored stands in `blocks`,
docs/shuffle.md follows a pair on its way.
"""

from mapreduce.data.pieces import MEMORY_BYTES, Fetch, Group, LineForm, Piece, Put
from mapreduce.data.shuffle.collector import Collector
from mapreduce.data.shuffle.columns import Columns, Same
from mapreduce.data.shuffle.combining import Combine, CombineAll, Combiner, Fold
from mapreduce.data.shuffle.grouping import by_map, grouped
from mapreduce.data.shuffle.hashing import HashPartitioner
from mapreduce.data.shuffle.linecollector import LineCollector, can_be_sorted
from mapreduce.data.shuffle.lines import LineGroups, LinePairs, Lines, whole_lines
from mapreduce.data.shuffle.placing import Partition

__all__ = [
    "MEMORY_BYTES",
    "Collector",
    "Columns",
    "Combine",
    "CombineAll",
    "Combiner",
    "Fetch",
    "Fold",
    "Group",
    "HashPartitioner",
    "LineCollector",
    "LineForm",
    "LineGroups",
    "LinePairs",
    "Lines",
    "Partition",
    "Piece",
    "Put",
    "Same",
    "by_map",
    "can_be_sorted",
    "grouped",
    "whole_lines",
]
