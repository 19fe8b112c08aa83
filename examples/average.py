"""Average and variance by key, of a column of a CSV file.

    mapreduce run examples/average.py 'readings/*.csv' -o out/ --set key=city --set value=celsius

Input: CSV files whose first line names the columns. Output: CSV with the columns key, count, mean
and variance (of the population: the mean square of the distance from the mean).

Means can't be averaged and variances can't be added, but (count, mean, M2) can be merged, M2 being
the sum of the squared distances from the mean. `merge` does that without the loss of digits that
sum(x²) - n·mean² has; it is the combiner, and with `functools.reduce` it is the reducer as well.
(Chan, Golub & LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample Variances",
1979; for combiners that keep the answer right Lin & Dyer, "Data-Intensive Text Processing with
MapReduce", 2010, section 3.1.)
"""

import functools

from mapreduce import Job, Mapper, Reducer


class Values(Mapper):
    def setup(self):
        self.key, self.value = self.context.params["key"], self.context.params["value"]

    def map(self, key, value):
        if value[self.value]:
            yield value[self.key], (1, float(value[self.value]), 0.0)
        else:
            self.context.count("rows without a value")


def merge(one, other):
    """(count, mean, M2) of two lots of values together."""
    n, mean, m2 = one
    other_n, other_mean, other_m2 = other
    total, distance = n + other_n, other_mean - mean
    return (
        total,
        mean + distance * other_n / total,
        m2 + other_m2 + distance * distance * n * other_n / total,
    )


class MeanAndVariance(Reducer):
    def reduce(self, key, values):
        n, mean, m2 = functools.reduce(merge, values)
        yield key, (n, mean, m2 / n)


def job(key: str, value: str, reducers: int = 1) -> Job:
    return Job(
        "average",
        mapper=Values,
        combiner=merge,
        reducer=MeanAndVariance,
        reducers=reducers,
        params={"key": key, "value": value},
        input_format="csv:header=yes",
        output_format="csv:header=key,count,mean,variance",
    )
