"""A histogram tells percentiles a bucket too high at most, and histograms add up."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from dynamo.values.histogram import BOUNDS, Histogram, bucket

WIDTH = 2 ** (1 / 8)
"""How much further each bucket reaches than the one before it."""

values = st.lists(st.floats(2e-5, 1e6), min_size=1, max_size=50)


@given(values, st.sampled_from([50, 95, 99, 99.9, 100]))
def test_a_percentile_is_at_most_a_bucket_too_high(found: Sequence[float], share: float) -> None:
    exact = sorted(found)[math.ceil(len(found) * share / 100) - 1]
    told = Histogram.of(found).percentile(share)
    assert exact <= told <= exact * WIDTH * (1 + 1e-9)


@given(values, values)
def test_histograms_add_up(one: list[float], other: list[float]) -> None:
    assert Histogram.of(one) + Histogram.of(other) == Histogram.of(one + other)


@given(values)
def test_what_is_sent_is_what_is_taken_in(found: Sequence[float]) -> None:
    histogram = Histogram.of(found)
    assert Histogram.of_pairs(histogram.pairs()) == histogram


def test_what_is_out_of_all_bounds_is_counted_in_the_outermost() -> None:
    assert bucket(-1.0) == bucket(0.0) == 0
    assert bucket(1e12) == len(BOUNDS) - 1


def test_of_nothing_every_percentile_is_nought() -> None:
    assert Histogram().percentile(99) == 0.0
