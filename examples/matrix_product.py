"""The product of two sparse matrices, A times B.

    mapreduce run examples/matrix_product.py -o out/ --set a=a.tsv --set b=b.tsv

Input: TSV, a line `row TAB column TAB number` for each entry that is not zero. Output: the same for
A times B, which has the entry sum over j of A[i,j] * B[j,k] at (i, k); sums that come to zero are
left out.

Two steps. The first brings column j of A and row j of B together and multiplies each entry of the
one with each of the other; `group_key` lets A's come first, so only those are held while B's pass.
The second adds up the products of each place, the greater part of them on the mapper's side.
(Leskovec, Rajaraman & Ullman, "Mining of Massive Datasets", section 2.3.9.)
"""

import operator

from mapreduce import Input, Job, Mapper, Reducer, Step

A, B = "A", "B"


class Columns(Mapper):
    def map(self, key, value):
        row, column, number = value
        yield (int(column), A), (A, int(row), float(number))


class Rows(Mapper):
    def map(self, key, value):
        row, column, number = value
        yield (int(row), B), (B, int(column), float(number))


def shared(key):
    j, _ = key
    return j


class Products(Reducer):
    def reduce(self, key, values):
        column_of_a = []
        for matrix, place, number in values:
            if matrix == A:
                column_of_a.append((place, number))
            else:
                for row, other in column_of_a:
                    yield (row, place), other * number


class Entry(Reducer):
    def reduce(self, key, values):
        row, column = key
        if number := sum(values):
            yield row, (column, number)


def job(a: str, b: str, reducers: int = 1) -> Job:
    multiply = Step(reducer=Products, reducers=reducers, group_key=shared)
    add = Step(combiner=operator.add, reducer=Entry, reducers=reducers)
    return Job(
        "matrix-product",
        steps=[multiply, add],
        inputs=[Input(a, mapper=Columns), Input(b, mapper=Rows)],
        input_format="tsv",
        output_format="tsv",
    )
