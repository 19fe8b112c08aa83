"""A join: a million orders, each with the name of its customer; a tenth of them has none."""

from benchmarks import tables
from benchmarks.contest import Contestant, hold, mrjob, ours, pipeline, python

ORDERS = 1_000_000
UNIX = """sort "$2" > "$1/customers"; sort "$3" > "$1/orders"
    join -t "$(printf '\\t')" "$1/customers" "$1/orders" > "$1/part-0" """
CONTESTANTS = (
    Contestant("by hand, multiprocessing", python("handwritten_join")),
    Contestant("`local` runner", ours("join")),
    Contestant("Unix: sort, join", pipeline(UNIX), ("sort", "join")),
    Contestant("DuckDB", python("with_duckdb", "join"), ("duckdb",)),
    Contestant("PySpark, DataFrame", python("with_pyspark", "join-frame"), ("pyspark", "java")),
    Contestant("PySpark, RDD", python("with_pyspark", "join"), ("pyspark", "java")),
    Contestant("Dask, bag", python("with_dask", "join"), ("dask",)),
    Contestant("mrjob", mrjob("mrjob_join"), ("mrjob",)),
)


def main() -> None:
    hold(CONTESTANTS, [tables.customers(ORDERS), tables.orders(ORDERS)])


if __name__ == "__main__":
    main()
