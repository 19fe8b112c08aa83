"""Rows: what csv and tsv have in common, and what each has of its own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapreduce.data import formats
from mapreduce.errors import BadRecord, JobError
from tests.mapreduce.data.formats.reads import decoded, encoded, read

anything = st.text(alphabet='ab é€😀"\\Nt\t,;\n\r\x0b\u2028', max_size=6)


@pytest.mark.parametrize(
    "name", ["csv", "tsv", "csv:delimiter=tab", "csv:compress=xz", "csv:keys=no"]
)
@given(st.lists(st.tuples(anything, st.tuples(anything, anything))))
def test_texts_come_back_as_they_were(name: str, pairs: list[tuple[str, tuple[str, str]]]) -> None:
    rows = [(key, list(value)) for key, value in pairs]
    found = decoded(name, encoded(name, pairs))
    if "keys=no" in name:
        assert [row for _, row in found] == [row for _, row in rows]
    else:
        assert found == rows


def test_quoted_fields_hold_newlines_wherever_blocks_end() -> None:
    content = 'é,"two\r\nlines, ""q"""\r\n\r\nb,"\n\n"\r\nlast,'.encode()
    rows = [(0, ["é", 'two\r\nlines, "q"']), (26, ["b", "\n\n"]), (34, ["last", ""])]
    for size in range(1, len(content) + 1):
        assert read("csv", content, block_sizes=[size]) == rows


def test_many_rows_keep_their_positions() -> None:
    texts = ["line", "line", "two\nlines"]
    lines = [f'{number},"{texts[number % 3]}"\n' for number in range(10_000)]
    starts = [sum(map(len, lines[:at])) for at in (0, 1, 4096, 9999)]
    found = read("csv", "".join(lines).encode(), block_sizes=[10_000])
    assert len(found) == 10_000
    assert [found[at][0] for at in (0, 1, 4096, 9999)] == starts


def test_only_files_whose_quotes_hold_no_newlines_are_split() -> None:
    names = ["csv", "csv:multiline=no", "csv:quotes=no", "tsv"]
    assert [formats.reading(name).splittable for name in names] == [False, True, True, True]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("csv", 'é,"open\nb,c\n' + "x\n" * 9, "'file', byte 0: unexpected end of data"),
        ("csv", 'a,b\né,c\nd,"e"f\n', "'file', byte 9: ',' expected after '\"'; .*quotes=no"),
        ("csv", "a,b\nc\rd,e\n", "'file', byte 4: new-line character"),
        ("csv:multiline=no", 'a,b\nc,"d\ne",f\n', "'file', byte 4: a quote is open at the line's"),
        ("csv:multiline=no", 'a,b\nc,"d', "'file', byte 4: unexpected end of data"),
        ("csv", "a\n" + "x" * 200_000, "'file', byte 2: field larger than .*csv.field_size_limit"),
        (
            "csv:header=yes",
            "é,b\n1,2\n3\n",
            r"byte 9: the header names 2 .* has 1: \['3",
        ),
        (
            "tsv:header=yes",
            "a\tb\n1\t2\t3\n",
            "byte 4: the header names 2 .* has 3",
        ),
        ("tsv:header=yes", "\na\tb\n1\t2\n", "has no header: its first line is blank"),
        ("csv:header=yes", "a,a\n1,2\n", "names a field twice"),
        ("csv:pairs=yes", "a,b\nc\n", r"byte 4: with pairs=yes a row has at least two .*\['c'\]"),
    ],
)
def test_bad_rows_are_refused_with_their_place(name: str, content: str, says: str) -> None:
    for block_sizes in [[1 << 20], [3]]:
        with pytest.raises(BadRecord, match=says):
            read(name, content.encode(), block_sizes=block_sizes)


@pytest.mark.parametrize("name", ["csv", "csv:multiline=no", "tsv"])
@pytest.mark.parametrize("block_size", [3, 1 << 20])
def test_bytes_that_are_no_text_are_refused_with_their_place(name: str, block_size: int) -> None:
    content = "é\n€\n".encode() + b"ab\xff\n"
    with pytest.raises(BadRecord, match=r"'file', byte 9: not UTF-8 \(ff"):
        read(name, content, block_sizes=[block_size])
    assert read(name + ":errors=replace", content)[-1] == (7, ["ab\ufffd"])


def test_a_byte_order_mark_belongs_to_no_field() -> None:
    content = '\ufeff"a",b\nc,d\n'.encode()
    assert read("csv", content) == [(0, ["a", "b"]), (9, ["c", "d"])]
    assert read("csv:header=yes", content) == [(9, {"a": "c", "b": "d"})]
    assert read("tsv", "\ufeffa\tb".encode()) == [(0, ["a", "b"])]


def test_rows_as_pairs() -> None:
    assert read("csv:pairs=yes", b"a,1\nb,1,2\n") == [("a", "1"), ("b", ["1", "2"])]
    assert read("tsv:pairs=yes:header=yes", b"k\tv\na\t1\n") == [("a", "1")]


def test_tsv_escapes() -> None:
    pairs = [("a\tb\\", None), ("\\N", "\r\n"), (1.5, [True, "x"])]
    content = b"a\\tb\\\\\t\\N\n\\\\N\t\\r\\n\n1.5\tTrue\tx\n"
    assert encoded("tsv", pairs) == content
    assert decoded("tsv", content) == [("a\tb\\", None), ("\\N", "\r\n"), ("1.5", ["True", "x"])]
    assert read("tsv", b"C:\\dir\\x\n") == [(0, ["C:\\dir\\x"])]
    assert read("tsv:escapes=no", b"C:\\new\n") == [(0, ["C:\\new"])]


def test_csv_output() -> None:
    pairs: list[Any] = [("é", 1), ("b", ("x,y", None, 'q"')), ("c", [1.5])]
    assert encoded("csv", pairs) == 'é,1\nb,"x,y",,"q"""\nc,1.5\n'.encode()
    assert encoded("csv:delimiter=;:keys=no", pairs[1:]) == b'x,y;;"q"""\n1.5\n'


def test_a_header_stands_once_in_merged_files() -> None:
    write = formats.writing("csv:header=word,count")
    first, second = write.encoder(), write.encoder(first_part=False)
    content = first.add([("a", 1)]) + first.finish() + second.add([("b", 2)]) + second.finish()
    assert content == b"word,count\na,1\nb,2\n"
    assert list(write.decode([content], "merged.csv")) == [("a", "1"), ("b", "2")]
    assert encoded("csv:header=word,count", []) == b"word,count\n"
    assert decoded("csv:header=word,count", b"word,count\n") == []


@pytest.mark.parametrize(
    ("name", "pair", "says"),
    [
        ("csv", ("a", b"x"), r"the pair \('a', b'x'\) holds bytes.*decode them"),
        ("tsv", (b"a", 1), "holds bytes"),
        ("csv:header=a,b", ("a", (1, 2)), "gives 3 fields, and the header a,b names 2"),
        ("csv", ("a", "\ud800"), "can't be written as UTF-8"),
    ],
)
def test_what_is_no_row_is_refused_with_its_pair(name: str, pair: Any, says: str) -> None:
    with pytest.raises(BadRecord, match=says):
        encoded(name, [("ok", 1), pair])


def test_a_delimiter_is_one_character() -> None:
    with pytest.raises(JobError, match="a delimiter is one character, or comma"):
        formats.reading("csv:delimiter=ab")
