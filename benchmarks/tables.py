"""Records to sort and tables to join, the same bytes on every machine, made from a seed."""

import random
import string
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import cache

KEY_CHARACTERS = 10
RECORD_BYTES = 100
ORDERS_OF_A_CUSTOMER = 5
KNOWN_CUSTOMERS = 0.9
"""The share of orders whose customer is in the table of customers."""
_SYMBOLS = string.digits + string.ascii_letters
_SYLLABLES = [c + v for c in "bdfghklmnprstvwz" for v in "aeiou"]


Lines = Callable[[random.Random], Iterator[str]]


def records(count: int, seed: int = 1, folder: Path = cache.FOLDER) -> Path:
    """The path of a file of records of 100 bytes, in no order: a key of ten random letters and
    digits, a tab, 88 characters (the record's number and a filling), and a newline. It is the sort
    benchmark's record (sortbenchmark.org, gensort -a) with a tab behind the key."""

    def lines(generator: random.Random) -> Iterator[str]:
        filling = RECORD_BYTES - KEY_CHARACTERS - len("\t" + "  " + "\n") - 16
        for number in range(count):
            key = "".join(generator.choices(_SYMBOLS, k=KEY_CHARACTERS))
            yield f"{key}\t{number:016x}  {_SYMBOLS[number % len(_SYMBOLS)] * filling}\n"

    return _made(f"records-{count}-{seed}.txt", lines, seed, folder)


def customers(orders: int, seed: int = 1, folder: Path = cache.FOLDER) -> Path:
    """The path of the table of those who gave `orders` orders: a number, a tab and a name."""

    def lines(generator: random.Random) -> Iterator[str]:
        numbers = list(range(orders // ORDERS_OF_A_CUSTOMER))
        generator.shuffle(numbers)
        for number in numbers:
            first, last = ("".join(generator.choices(_SYLLABLES, k=k)) for k in (2, 4))
            yield f"{number:08d}\t{first.title()} {last.title()}\n"

    return _made(f"customers-{orders}-{seed}.txt", lines, seed, folder)


def orders(count: int, seed: int = 1, folder: Path = cache.FOLDER) -> Path:
    """The path of a table of orders: the customer's number, a tab, the order's number and a sum.

    A tenth of them are of customers who are not in the table of customers."""

    def lines(generator: random.Random) -> Iterator[str]:
        customer_numbers = int(count / ORDERS_OF_A_CUSTOMER / KNOWN_CUSTOMERS)
        for number in range(count):
            customer = generator.randrange(customer_numbers)
            yield f"{customer:08d}\t{number:08d} {generator.randrange(1, 100_000)}\n"

    return _made(f"orders-{count}-{seed}.txt", lines, seed, folder)


def _made(name: str, lines: Lines, seed: int, folder: Path) -> Path:
    def write(path: Path) -> None:
        with path.open("w", encoding="ascii", newline="\n") as file:
            file.writelines(lines(random.Random(seed)))

    return cache.made(name, write, folder)
