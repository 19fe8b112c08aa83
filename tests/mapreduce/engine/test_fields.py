"""Lines are cut into keys and values as the plain rule says, however their blocks are cut."""

import random

import pytest

from mapreduce.data.shuffle import Same
from mapreduce.engine import fields

Pairs = list[tuple[bytes, bytes | None]]


def plain(text: bytes, separator: bytes, count: int) -> Pairs:
    """The rule itself, line by line."""
    lines = text.split(b"\n")
    found: Pairs = []
    for line in lines if lines[-1] else lines[:-1]:
        parts = line.split(separator)
        has_value = len(parts) > count
        rest = separator.join(parts[count:]) if has_value else None
        found.append((separator.join(parts[:count]), rest))
    return found


def blocks(text: bytes, seed: int) -> list[bytes]:
    draw = random.Random(seed)
    at, some = 0, []
    while at < len(text):
        size = draw.choice([1, 2, 5, 40])
        some.append(text[at : at + size])
        at += size
    return some


TEXTS = {
    "one value": b"to\t1\nbe\t1\n\t1\n",
    "one value but for a line": b"to\t1\nbe\t1\nor\t11\n",
    "a value that ends as another": b"to\t11\nbe\t1\n",
    "a tab in a key's place": b"a\tb\t1\nc\n",
    "as many tabs as lines": b"a\tb\tc\nd\ne\tf\n",
    "no tabs": b"to\nbe\n\nor",
    "tabs in values": b"a\t1\t2\nb\t\t\n",
    "a value in every line": b"a\t1\nb\t2\nc\t\n",
    "no last newline": b"a\t1\nb\t2",
    "bytes that are no text": b"\xff\xfe\t\x80\n\x00\t\r\n",
    "nothing": b"",
    "one empty line": b"\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize(("separator", "count"), [(b"\t", 1), (b"\t", 2), (b"::", 1), (b"1", 1)])
def test_lines_become_pairs(text: bytes, separator: bytes, count: int) -> None:
    text = text.replace(b"\t", separator) if separator == b"::" else text
    for seed in range(5):
        columns = fields.columns_of(blocks(text, seed), separator, count)
        found = [pair for keys, values in columns for pair in zip(keys, values, strict=True)]
        assert found == plain(text, separator, count)


def test_values_that_are_all_the_same_are_one_object() -> None:
    [(keys, values)] = fields.columns_of([b"to\tx y\nbe\tx y\n"])
    assert keys == [b"to", b"be"]
    assert isinstance(values, Same)


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_pairs_become_the_lines_they_were(text: bytes) -> None:
    pairs = plain(text, b"\t", 1)
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
