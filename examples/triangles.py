"""Triangles of a graph: three nodes, each joined with the two others.

    mapreduce run examples/triangles.py edges.tsv -o out/ --set reducers=2

Input: TSV, two nodes in each line, in any order; an edge may be named twice and a node may be
joined with itself, which counts for nothing. Output: TSV, the three nodes of each triangle once, in
alphabetical order. Their number is the counter `triangles`.

A node with n neighbours has n²/2 pairs of neighbours to look at, so one with many would keep its
reducer busy long after the others have ended. Here each edge is a matter of its end with the fewer
neighbours only: then no node has more than the square root of twice the number of edges. (Suri &
Vassilvitskii, "Counting Triangles and the Curse of the Last Reducer", WWW 2011: NodeIterator++.)
Its steps: how many neighbours has each node; which end has fewer; which two edges meet at a node;
is there a third edge that closes them? With `sort_values` the edge itself, None, comes before all
nodes that wait for it.
"""

from itertools import combinations

from mapreduce import Job, Mapper, Reducer, Step


class Ends(Mapper):
    def map(self, key, value):
        one, other = value
        if one != other:
            yield one, other
            yield other, one


class Degree(Reducer):
    def reduce(self, key, values):
        neighbours = sorted(set(values))
        for other in neighbours:
            yield edge(key, other), (len(neighbours), key)


class FromTheSmaller(Reducer):
    def reduce(self, key, values):
        (_, fewer), (_, more) = sorted(values)
        yield fewer, more


class Corners(Reducer):
    def reduce(self, key, values):
        neighbours = list(values)
        for other in neighbours:
            yield edge(key, other), None
        for pair in combinations(neighbours, 2):
            yield edge(*pair), key


class Closed(Reducer):
    def reduce(self, key, values):
        if next(values) is None:
            for corner in values:
                first, *others = sorted([*key, corner])
                self.context.count("triangles")
                yield first, others


def edge(one, other):
    return min(one, other), max(one, other)


def job(reducers: int = 1) -> Job:
    return Job(
        "triangles",
        steps=[
            Step(mapper=Ends, reducer=Degree, reducers=reducers),
            Step(reducer=FromTheSmaller, reducers=reducers),
            Step(reducer=Corners, reducers=reducers),
            Step(reducer=Closed, reducers=reducers, sort_values=True),
        ],
        input_format="tsv",
        output_format="tsv",
    )
