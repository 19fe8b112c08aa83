"""The byte format of a copy: it comes back as it was, or not at all."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamo.disk import record
from dynamo.disk.record import Copy
from dynamo.errors import CorruptData
from dynamo.values.versions import EMPTY, Dot, Siblings, Version

COPY = Copy(
    "n1-2a-1",
    Siblings(
        {"n1-2a-1": 2, "n2-7-1": 1},
        (
            Version(Dot("n1-2a-1", 2), b"green", 12.5),
            Version(Dot("n2-7-1", 1), None, 13.0),
        ),
    ),
)

SIBLINGS = st.builds(
    Siblings,
    st.dictionaries(st.text(), st.integers(0, 1 << 60)),
    st.lists(
        st.builds(
            Version,
            st.builds(Dot, st.text(), st.integers(0, 1 << 60)),
            st.none() | st.binary(),
            st.floats(allow_nan=False),
            st.floats(allow_nan=False),
        )
    ).map(tuple),
)


@given(st.builds(Copy, st.text(), SIBLINGS))
def test_a_copy_comes_back_as_it_was(copy: Copy) -> None:
    assert record.decode(record.encode(copy)) == copy


def test_the_format_is_fixed() -> None:
    """Disks hold it: a change needs a migration."""
    assert record.encode(Copy("", EMPTY)).hex() == "1594fdf992a0928090"


@given(st.integers(0, len(record.encode(COPY)) * 8 - 1))
def test_a_flipped_bit_is_noticed(bit: int) -> None:
    damaged = bytearray(record.encode(COPY))
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(CorruptData, match="checksum"):
        record.decode(bytes(damaged))


@given(st.integers(0, len(record.encode(COPY)) - 1))
def test_a_record_cut_short_is_noticed(size: int) -> None:
    with pytest.raises(CorruptData):
        record.decode(record.encode(COPY)[:size])


def test_a_right_checksum_over_nonsense_is_noticed() -> None:
    body = b"\x93\x01\x02\x03"
    with pytest.raises(CorruptData, match="no known format"):
        record.decode(zlib.crc32(body).to_bytes(4, "big") + body)
