"""What one writes by hand to join a large table with a small one on all cores: no shuffle.

Every process keeps the small table, the customers, as a dict, and looks up its slices of orders.
"""

import multiprocessing
import sys
from functools import partial
from pathlib import Path

from benchmarks.programs.slices import Slice, slices, text_of

names: dict[str, str] = {}
"""Customers by number; filled at the start of each process."""


def read_customers(path: Path) -> None:
    for line in path.read_text().splitlines():
        number, _, name = line.partition("\t")
        names[number] = name


def join_slice(output: Path, job: tuple[int, Slice]) -> None:
    """Write the orders of a slice that have a customer."""
    number, part = job
    joined = []
    for line in text_of(part).split("\n"):
        customer, _, order = line.partition("\t")
        if customer in names:
            joined.append(f"{customer}\t{names[customer]}\t{order}\n")
    with (output / f"part-{number:05d}").open("w", encoding="utf-8") as file:
        file.writelines(joined)


def run(output: Path, customers: Path, orders: Path, processes: int = 2) -> None:
    """Join two tables into files in the folder `output`."""
    output.mkdir()
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(processes, read_customers, (customers,)) as pool:
        jobs = enumerate(slices(orders, processes))
        pool.map(partial(join_slice, output), jobs, chunksize=1)


if __name__ == "__main__":
    run(*map(Path, sys.argv[1:]))
