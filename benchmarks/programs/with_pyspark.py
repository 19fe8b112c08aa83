"""The workloads by PySpark, local[2]: with Python functions (RDD) and with Spark's own (DataFrame).

`python -m benchmarks.programs.with_pyspark words OUTPUT INPUT`
"""

import sys
import time
from operator import add

from pyspark import RDD
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from benchmarks.contest import SINCE_READY

MASTER = "local[2]"
PARTITIONS = 4
MEMORY = "4g"


def session() -> SparkSession:
    return (
        SparkSession.builder.master(MASTER)
        .config("spark.driver.memory", MEMORY)
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", PARTITIONS)
        .config("spark.default.parallelism", PARTITIONS)
        .getOrCreate()
    )


def words(spark: SparkSession, output: str, text: str) -> None:
    counts = spark.sparkContext.textFile(text).flatMap(str.split).map(lambda word: (word, 1))
    _save(counts.reduceByKey(add), output)


def words_frame(spark: SparkSession, output: str, text: str) -> None:
    found = spark.read.text(text).select(f.explode(f.split("value", " ")).alias("word"))
    _write(found.groupBy("word").count(), output)


def sort(spark: SparkSession, output: str, records: str) -> None:
    _save(_table(spark, records).sortByKey(), output)


def sort_frame(spark: SparkSession, output: str, records: str) -> None:
    spark.read.text(records).orderBy("value").write.text(output)


def index(spark: SparkSession, output: str, documents: str) -> None:
    pairs = _table(spark, documents).flatMap(
        lambda document: [(word, document[0]) for word in set(document[1].split())]
    )
    _save(pairs.groupByKey().mapValues(lambda names: " ".join(sorted(names))), output)


def index_frame(spark: SparkSession, output: str, documents: str) -> None:
    parts = f.split("value", "\t")
    found = spark.read.text(documents).select(
        parts[0].alias("document"), f.explode(f.split(parts[1], " ")).alias("word")
    )
    names = f.array_join(f.array_sort(f.collect_set("document")), " ")
    _write(found.groupBy("word").agg(names), output)


def join(spark: SparkSession, output: str, customers: str, orders: str) -> None:
    joined = _table(spark, customers).join(_table(spark, orders))
    _save(joined.mapValues("\t".join), output)


def join_frame(spark: SparkSession, output: str, customers: str, orders: str) -> None:
    names, sums = (
        spark.read.csv(path, sep="\t", schema=f"customer string, {rest} string", quote="")
        for path, rest in ((customers, "name"), (orders, "order"))
    )
    _write(names.join(sums, "customer"), output)


def _table(spark: SparkSession, path: str) -> RDD:
    """A file's lines, each in two at its tab."""
    return spark.sparkContext.textFile(path).map(lambda line: tuple(line.split("\t", 1)))


def _save(pairs: RDD, output: str) -> None:
    pairs.map(lambda pair: f"{pair[0]}\t{pair[1]}").saveAsTextFile(output)


def _write(rows: DataFrame, output: str) -> None:
    rows.select(f.concat_ws("\t", *rows.columns)).write.text(output)


WORKLOADS = {
    "words": words,
    "words-frame": words_frame,
    "sort": sort,
    "sort-frame": sort_frame,
    "index": index,
    "index-frame": index_frame,
    "join": join,
    "join-frame": join_frame,
}


def run(name: str, output: str, *inputs: str) -> None:
    with session() as spark:
        began = time.perf_counter()
        WORKLOADS[name](spark, output, *inputs)
        print(f"{SINCE_READY} {time.perf_counter() - began:.2f}")


if __name__ == "__main__":
    run(*sys.argv[1:])
