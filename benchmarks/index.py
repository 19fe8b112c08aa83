"""An inverted index of 32 MB of documents: for each word the names of its documents, in order."""

from benchmarks import zipf
from benchmarks.contest import (
    PROCESSES,
    Contestant,
    hold,
    mrjob,
    ours,
    pipeline,
    python,
)

SIZE_BYTES = 32 << 20
PAIRS = """awk '{ for (i = 2; i <= NF; i++) print $i, $1 }' "$2" """
GATHER = """awk '
    $1 != word { if (NR > 1) print ""; word = $1; printf "%s\\t%s", $1, $2; next }
    { printf " %s", $2 }
    END { print "" }' """
UNIX = f'{PAIRS} | sort -u --parallel={PROCESSES} | {GATHER} > "$1/part-0"'
CONTESTANTS = (
    Contestant("by hand, multiprocessing", python("handwritten_index")),
    Contestant("`local` runner", ours("index")),
    Contestant("Unix: awk, sort, awk", pipeline(UNIX), ("awk", "sort")),
    Contestant("DuckDB", python("with_duckdb", "index"), ("duckdb",)),
    Contestant("PySpark, DataFrame", python("with_pyspark", "index-frame"), ("pyspark", "java")),
    Contestant("PySpark, RDD", python("with_pyspark", "index"), ("pyspark", "java")),
    Contestant("Dask, bag", python("with_dask", "index"), ("dask",)),
    Contestant("mrjob", mrjob("mrjob_index"), ("mrjob",)),
)


def main() -> None:
    hold(CONTESTANTS, [zipf.documents(SIZE_BYTES)])


if __name__ == "__main__":
    main()
