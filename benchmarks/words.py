"""Word count over 128 MB of Zipf-distributed text, our three styles beside what others write.

natural      `yield word, 1`, and a reducer that adds up, also as the combiner
folding      the same mapper, with `operator.add` as the combiner
map_batch    a mapper that counts a batch of lines at once
"""

from benchmarks import zipf
from benchmarks.contest import Aim, Contestant, hold, mrjob, ours, pipeline, python

SIZE_BYTES = 128 << 20
COUNT = """tr -s ' ' '\\n' < "$2" | sort | uniq -c | awk '{print $2 "\\t" $1}' > "$1/part-0" """
BY_HAND = Contestant("by hand, multiprocessing", python("handwritten_words"))
NATURAL = Contestant("`local` runner, natural", ours("words"))
FOLDING = Contestant("`local` runner, folding", ours("words-folding"))
BATCHES = Contestant("`local` runner, map_batch", ours("words-batches"))
OTHERS = (
    Contestant("Unix: tr, sort, uniq", pipeline(COUNT), ("tr", "sort", "uniq", "awk")),
    Contestant("DuckDB", python("with_duckdb", "words"), ("duckdb",)),
    Contestant("PySpark, DataFrame", python("with_pyspark", "words-frame"), ("pyspark", "java")),
    Contestant("PySpark, RDD", python("with_pyspark", "words"), ("pyspark", "java")),
    Contestant("Dask, bag", python("with_dask", "words"), ("dask",)),
    Contestant("mrjob", mrjob("mrjob_words"), ("mrjob",)),
)
AIMS = (
    Aim(NATURAL.name, BY_HAND.name, 1.6),
    Aim(FOLDING.name, BY_HAND.name, 1.3),
    Aim(BATCHES.name, BY_HAND.name, 1.1),
)


def main() -> None:
    hold((BY_HAND, NATURAL, FOLDING, BATCHES, *OTHERS), [zipf.text(SIZE_BYTES)], AIMS)


if __name__ == "__main__":
    main()
