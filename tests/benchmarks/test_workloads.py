"""On a small part of each benchmark's data our job and the program by hand write the same lines."""

import pytest

from benchmarks import tables, zipf
from benchmarks.contest import any_order, in_order
from benchmarks.programs import (
    handwritten_index,
    handwritten_join,
    handwritten_sort,
    handwritten_words,
    our_jobs,
)

BY_HAND = {
    "words": handwritten_words,
    "sort": handwritten_sort,
    "index": handwritten_index,
    "join": handwritten_join,
}
MAKERS = {
    "words": (lambda folder: zipf.text(200_000, folder=folder),),
    "sort": (lambda folder: tables.records(2000, folder=folder),),
    "index": (lambda folder: zipf.documents(200_000, folder=folder),),
    "join": (
        lambda folder: tables.customers(5000, folder=folder),
        lambda folder: tables.orders(5000, folder=folder),
    ),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    return {name: [make(folder) for make in makers] for name, makers in MAKERS.items()}


@pytest.fixture(scope="module")
def by_hand(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("by-hand")
    for name, inputs in data.items():
        BY_HAND[name].run(folder / name, *inputs, processes=1)
    return folder


@pytest.mark.parametrize("name", our_jobs.JOBS)
def test_our_job_writes_what_the_program_by_hand_writes(name, data, by_hand, tmp_path):
    workload = name.partition("-")[0]
    inputs = map(str, data[workload])
    our_jobs.JOBS[name](*inputs).run(output=tmp_path / "ours", runner="inline")
    check = in_order if workload == "sort" else any_order
    expected = check(by_hand / workload)
    assert expected[0] > 1000
    assert check(tmp_path / "ours") == expected


def test_data_is_the_same_each_time(data, tmp_path):
    for name, makers in MAKERS.items():
        for made, make in zip(data[name], makers):
            assert make(tmp_path).read_bytes() == made.read_bytes()
