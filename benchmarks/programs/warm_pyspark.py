"""PySpark on this machine, local[2], warm: tiny jobs and empty tasks. See `benchmarks.warm`."""

import sys
from operator import add

from benchmarks.programs.with_pyspark import session
from benchmarks.warm import LINES, say_seconds


def main(*arguments: str) -> None:
    spark = session()
    context = spark.sparkContext
    context.setLogLevel("ERROR")

    def tiny() -> None:
        words = context.parallelize(LINES, 1).flatMap(str.split).map(lambda word: (word, 1))
        assert len(words.reduceByKey(add, 1).collect()) > 1

    def tasks(number: int) -> None:
        context.parallelize(range(number), number).foreachPartition(lambda part: None)

    say_seconds(tiny, tasks, *arguments)
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
