"""Jobs drawn at random give the bytes of a plain sequential evaluation."""

import operator
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from mapreduce import Input, Job, Mapper, Reducer, Step
from tests.mapreduce.battery import sequential
from tests.mapreduce.battery.jobs.common import Listed, Sum
from tests.mapreduce.battery.jobs.keys import PLAIN_KEYS, shown
from tests.mapreduce.battery.jobs.spills import first_of

LONG = "x" * 60_000
"""Some values of this length are more than a task may hold."""


class Drawn(Mapper):
    """A line is a key, as an index, and a value."""

    def map(self, key, value):
        index, _, number = value.partition(" ")
        self.context.count("drawn")
        yield PLAIN_KEYS[int(index)], int(number)


class DrawnInPairs(Mapper):
    def map(self, key, value):
        index, _, number = value.partition(" ")
        yield (index, int(number) % 3), int(number)


class DrawnAtLength(Mapper):
    def map(self, key, value):
        index, _, number = value.partition(" ")
        yield index, LONG[: int(number) * 6000] + number


class Swapped(Mapper):
    def map(self, key, value):
        yield shown(value), key


class Sizes(Reducer):
    def reduce(self, key, values):
        yield shown(key), [(len(value), value[-1]) for value in values]


class ShownLists(Reducer):
    def reduce(self, key, values):
        yield shown(key), list(values)


def negative(value):
    return -value


ORDERS = st.fixed_dictionaries(
    {"reducers": st.integers(1, 3), "descending": st.booleans()},
    optional={"total_order": st.booleans()},
)
VALUES = st.sampled_from([False, True, negative])
FIRST_STEPS = st.one_of(
    st.builds(Step, mapper=st.just(Drawn)),
    st.builds(
        lambda order, values: Step(mapper=Drawn, reducer=ShownLists, sort_values=values, **order),
        ORDERS,
        VALUES,
    ),
    st.builds(
        lambda order, combiner: Step(mapper=Drawn, reducer=Sum, combiner=combiner, **order),
        ORDERS,
        st.sampled_from([None, operator.add, Sum]),
    ),
    st.builds(
        lambda reducers, descending, values: Step(
            mapper=DrawnInPairs,
            reducer=Listed,
            group_key=first_of,
            reducers=reducers,
            descending=descending,
            sort_values=values,
        ),
        st.integers(1, 3),
        st.booleans(),
        VALUES,
    ),
    st.builds(
        lambda order: Step(mapper=DrawnAtLength, reducer=Sizes, **order),
        ORDERS,
    ),
)
SECOND_STEPS = st.one_of(
    st.none(),
    st.just(Step(mapper=Swapped)),
    st.builds(lambda order: Step(mapper=Swapped, reducer=Listed, **order), ORDERS),
)
LINES = st.lists(
    st.builds("{} {}".format, st.integers(0, len(PLAIN_KEYS) - 1), st.integers(0, 9)), max_size=60
)


@settings(max_examples=40)
@given(
    first=FIRST_STEPS,
    second=SECOND_STEPS,
    files=st.lists(LINES, min_size=1, max_size=3),
    split_bytes=st.integers(5, 200),
)
def test_inline_is_sequential(
    first: Step, second: Step | None, files: list[list[str]], split_bytes: int
) -> None:
    steps = [first] if second is None else [first, second]
    job = Job("drawn", steps=steps, split_bytes=split_bytes, memory_bytes=1 << 20)
    content: dict[str, Any] = {
        f"in/{number}": "".join(f"{line}\n" for line in lines).encode()
        for number, lines in enumerate(files)
    }
    expected = sequential.evaluate(job, sequential.read(job, [Input("in")], content))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in").mkdir()
        for path, data in content.items():
            (Path(folder) / path).write_bytes(data)
        result = job.run(f"{folder}/in", output=f"{folder}/out", runner="inline")
        parts = [Path(folder, "out", name).read_bytes() for name in result.parts]
    written = [sequential.written_file("text", pairs) for pairs in expected.main]
    if expected.parts_are_known:
        assert parts == written
    assert b"".join(parts) == b"".join(written)
    assert {name: result.counters[name] for name in expected.counters} == expected.counters
