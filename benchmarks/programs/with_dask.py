"""The workloads by Dask's bags, in two processes. Bags have no sort.

`python -m benchmarks.programs.with_dask words OUTPUT INPUT`
"""

import sys

import dask
from dask import bag

PROCESSES = 2
BLOCK = "16MiB"
Fields = tuple[str, ...]


def words(text: str) -> bag.Bag:
    return bag.read_text(text, blocksize=BLOCK).str.split().flatten().frequencies()


def index(documents: str) -> bag.Bag:
    postings = _table(documents).map(_postings).flatten()
    found = postings.foldby(0, _append, list, _extend, list)
    return found.map(lambda row: (row[0], " ".join(sorted(row[1]))))


def join(customers: str, orders: str) -> bag.Bag:
    """Bags join with what fits in memory: a bag of one partition, which each task is given."""
    joined = _table(orders).join(_table(customers, block=None), 0, 0)
    # A pair of rows, the customer's first.
    return joined.map(lambda rows: (*rows[0], rows[1][1]))


def _table(path: str, block: str | None = BLOCK) -> bag.Bag:
    """A file's lines, each in two at its tab."""
    return bag.read_text(path, blocksize=block).map(_fields)


def _fields(line: str) -> Fields:
    key, _, rest = line.rstrip("\n").partition("\t")
    return key, rest


def _postings(document: Fields) -> list[Fields]:
    name, text = document
    return [(word, name) for word in set(text.split())]


def _append(names: list[str], posting: Fields) -> list[str]:
    names.append(posting[1])
    return names


def _extend(names: list[str], more: list[str]) -> list[str]:
    names.extend(more)
    return names


WORKLOADS = {"words": words, "index": index, "join": join}


def run(name: str, output: str, *inputs: str) -> None:
    with dask.config.set(scheduler="processes", num_workers=PROCESSES):
        rows = WORKLOADS[name](*inputs)
        lines = rows.map(lambda row: "\t".join(map(str, row)))
        lines.to_textfiles(f"{output}/part-*", last_endline=True)


if __name__ == "__main__":
    run(*sys.argv[1:])
