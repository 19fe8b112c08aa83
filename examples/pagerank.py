"""PageRank: how likely a reader who clicks at random is at a page, against the average page.

    mapreduce run examples/pagerank.py links.tsv -o out/ --set rounds=20 --set reducers=2

Input: TSV, each line a page and those it links to; lines of one page are put together, and a page
may be named as a target only. Output: `page TAB rank`, the highest first. The average of all ranks
is 1; divide by the number of pages for a probability.

Each round is a step: a page gives its rank to its targets in equal parts, and gets

    rank = (1 - damping) + damping * (what the pages that link to it give + lost / pages)

`lost` is the rank of pages without links, which would vanish otherwise: it goes to all in equal
parts. Every reducer needs these two sums before its first page. So each mapper sends what it knows
of them to every partition, under a key that is a number: those are sorted before texts (order
inversion: Lin & Dyer, "Data-Intensive Text Processing with MapReduce", 2010, section 3.3, and 5.3
for PageRank). What a page links to travels along.

How far the ranks still moved is counted for each round, in millionths of their sum: when that is
small enough there were rounds enough. (Page, Brin, Motwani & Winograd, 1999.)
"""

from mapreduce import Job, Mapper, Reducer, Step, partition_of


class Links(Mapper):
    def map(self, key, value):
        page, *targets = value
        yield page, targets
        for target in targets:
            yield target, []


class Page(Reducer):
    def reduce(self, key, values):
        yield key, (1.0, sorted({target for targets in values for target in targets}))


class Give(Mapper):
    def setup(self):
        self.pages, self.lost = 0, 0.0

    def map(self, key, value):
        rank, targets = value
        self.pages += 1
        self.lost += 0 if targets else rank
        yield key, value
        for target in targets:
            yield target, rank / len(targets)

    def cleanup(self):
        for partition in range(self.context.reducers):
            yield partition, (self.pages, self.lost)


def partitioner(key, partitions):
    return key if isinstance(key, int) else partition_of(key, partitions)


class Take(Reducer):
    def setup(self):
        self.damping, self.moved = float(self.context.params["damping"]), 0.0

    def reduce(self, key, values):
        if isinstance(key, int):
            self.pages, self.lost = map(sum, zip(*values))
            return
        given = 0.0
        for value in values:
            if isinstance(value, tuple):
                before, targets = value
            else:
                given += value
        rank = 1 - self.damping + self.damping * (given + self.lost / self.pages)
        self.moved += abs(rank - before) / self.pages
        yield key, (rank, targets)

    def cleanup(self):
        number = self.context.step - 1
        self.context.count(f"moved in round {number:2}, ppm", round(self.moved * 1e6))


class Ranks(Mapper):
    def map(self, key, value):
        rank, _ = value
        yield rank, key


class Highest(Reducer):
    def reduce(self, key, values):
        for page in values:
            yield page, key


def job(rounds: int = 20, damping: float = 0.85, reducers: int = 1) -> Job:
    links = Step(mapper=Links, reducer=Page, reducers=reducers)
    one_round = Step(mapper=Give, partitioner=partitioner, reducer=Take, reducers=reducers)
    ranks = Step(mapper=Ranks, reducer=Highest, descending=True, sort_values=True)
    return Job(
        "pagerank",
        steps=[links, *[one_round] * rounds, ranks],
        params={"damping": damping},
        input_format="tsv",
    )
