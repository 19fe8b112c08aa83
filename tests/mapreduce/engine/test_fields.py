"""Pairs become the lines that executables read."""

import pytest

from mapreduce.engine import fields
from tests.mapreduce.data.shuffle.test_lines import TEXTS, plain


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_pairs_become_the_lines_they_were(text: bytes) -> None:
    pairs = plain(text)
    whole = text + b"\n" if text[-1:] not in (b"", b"\n") else text
    assert b"".join(fields.lines_of_pairs(iter(pairs), b"\t")) == whole
    groups = [(key, iter([value])) for key, value in pairs]
    assert b"".join(fields.lines_of_groups(groups, b"\t")) == whole


def test_long_groups_and_large_records_come_in_pieces() -> None:
    many = [(b"key", iter([b"1"] * 100_000)), (b"next", iter([b"2"]))]
    some = list(fields.lines_of_groups(many, b"\t"))
    assert b"".join(some) == b"key\t1\n" * 100_000 + b"next\t2\n"
    assert max(map(len, some)) < 2 * fields.FEED_BYTES
    values = [b"x" * 50_000] * 200
    some = list(fields.lines_of_values((at, value) for at, value in enumerate(values)))
    assert b"".join(some) == b"".join(value + b"\n" for value in values)
    assert max(map(len, some)) < 64 * 51_000


def test_keys_that_share_their_first_fields_share_a_hash() -> None:
    first = fields.FirstFields(2, ".")
    assert first(b"a.b.c") == first(b"a.b.d") == first(b"a.b")
    assert len({first(b"a.%d" % n) % 7 for n in range(100)}) == 7
