"""From map to reduce: partition, combine, sort, spill, store as pieces, merge, group.

`Collector` is the map side, `grouped` the reduce side, or `by_map`; what lies between them is a
`Piece`, one sorted run of one map attempt for one partition. Both sides keep to a budget of memory.
The format of what is stored stands in `blocks`, docs/shuffle.md follows a pair on its way.
"""

from mapreduce.data.pieces import MEMORY_BYTES, Fetch, Group, Piece, Put
from mapreduce.data.shuffle.collector import Collector, Partition
from mapreduce.data.shuffle.columns import ColumnPairs, Columns, Same
from mapreduce.data.shuffle.combining import Combine, CombineAll, Combiner, Fold
from mapreduce.data.shuffle.grouping import by_map, grouped
from mapreduce.data.shuffle.hashing import HashPartitioner

__all__ = [
    "MEMORY_BYTES",
    "Collector",
    "ColumnPairs",
    "Columns",
    "Combine",
    "CombineAll",
    "Combiner",
    "Fetch",
    "Fold",
    "Group",
    "HashPartitioner",
    "Partition",
    "Piece",
    "Put",
    "Same",
    "by_map",
    "grouped",
]
