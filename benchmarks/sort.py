"""A million records of 100 bytes, sorted over all parts: one part behind the other is in order."""

from benchmarks import tables
from benchmarks.contest import (
    PROCESSES,
    Aim,
    Contestant,
    hold,
    in_order,
    mrjob,
    ours,
    pipeline,
    python,
)

RECORDS = 1_000_000
BY_HAND = Contestant("by hand, multiprocessing", python("handwritten_sort"))
OURS = Contestant("`local` runner, total order", ours("sort"))
FRAME = Contestant("PySpark, DataFrame", python("with_pyspark", "sort-frame"), ("pyspark", "java"))
RDD = Contestant("PySpark, RDD", python("with_pyspark", "sort"), ("pyspark", "java"))
UNIX = f'sort --parallel={PROCESSES} "$2" > "$1/part-0"'
OTHERS = (
    Contestant("Unix: sort", pipeline(UNIX), ("sort",)),
    Contestant("DuckDB", python("with_duckdb", "sort"), ("duckdb",)),
    FRAME,
    RDD,
    # One reducer: mrjob has no order over all of them.
    Contestant("mrjob", mrjob("mrjob_sort", "--jobconf", "mapreduce.job.reduces=1"), ("mrjob",)),
)


def main() -> None:
    aims = [Aim(OURS.name, each.name, 0.25) for each in (RDD, FRAME)]
    hold((BY_HAND, OURS, *OTHERS), [tables.records(RECORDS)], aims, in_order)


if __name__ == "__main__":
    main()
