"""Lines as pairs: what executables write and read, taken apart only where that is needed.

    line  = key [SEP value] LF
    key   = field *(SEP field)        as many fields as the form says, one by default

A line with no more fields than a key has is a key without a value, here with None. Everything is
bytes: nothing is decoded, and any separator but the newline will do. (The lines of Hadoop
Streaming; there such a line has an empty value.)
"""

import functools
import itertools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from mapreduce.api import Pair
from mapreduce.data.pieces import Group, LineForm
from mapreduce.data.shuffle.columns import Columns, Same

_KEY = operator.itemgetter(0)
_VALUE = operator.itemgetter(1)
_TABS = LineForm()


class Lines(NamedTuple):
    """Some whole lines, each a pair.

    >>> lines = Lines(b"to\\t1\\nbe\\n", LineForm())
    >>> lines.records, lines.columns()
    (2, Columns(keys=[b'to', b'be'], values=[b'1', None]))
    """

    text: bytes
    form: LineForm

    @property
    def records(self) -> int:
        return self.text.count(b"\n")

    def columns(self) -> Columns:
        """The keys and the values."""
        return _cut(self.text, self.form.separator, self.form.fields)

    def keys(self) -> Sequence[bytes]:
        """The keys alone, sooner."""
        separator, fields = self.form.separator, self.form.fields
        if fields == len(separator) == 1 and _alternates(self.text, separator):
            return self.text.replace(b"\n", separator).split(separator)[:-1:2]
        return self.columns().keys


class LinePairs(Iterator[Pair]):
    """An iterator over pairs that come as whole lines, and may be taken as these.

    >>> list(LinePairs([b"to\\t1\\nbe\\t1\\n", b"or\\n"]))
    [(b'to', b'1'), (b'be', b'1'), (b'or', None)]
    >>> list(LinePairs([b"a.b.c.d\\ne.f\\n"], LineForm(b".", fields=2)))
    [(b'a.b', b'c.d'), (b'e.f', None)]
    """

    def __init__(self, texts: Iterable[bytes], form: LineForm = _TABS) -> None:
        self.form = form
        self._texts = iter(texts)
        self._pairs = itertools.chain.from_iterable(zip(*some.columns()) for some in self.lines())

    def __iter__(self) -> Iterator[Pair]:
        return self._pairs

    def __next__(self) -> Pair:
        return next(self._pairs)

    def lines(self) -> Iterator[Lines]:
        """The pairs as lines, many at a time."""
        for text in self._texts:
            if text:
                yield Lines(text, self.form)

    def first(self) -> Lines:
        """The first of `lines()`, which is left where it is; none if there are none."""
        text = next(self._texts, b"")
        self._texts = itertools.chain([text], self._texts)
        return Lines(text, self.form)


class LineGroups(Iterator[Group]):
    """An iterator over the groups of lines in order of their keys, that may be taken as lines.

    >>> texts = [b"be\\t1\\n", b"be\\t2\\nto\\t1\\n"]
    >>> [(key, list(values)) for key, values in LineGroups(texts, LineForm())]
    [(b'be', [b'1', b'2']), (b'to', [b'1'])]
    """

    def __init__(self, texts: Iterable[bytes], form: LineForm) -> None:
        self.form = form
        self._texts = texts
        self._failure: Exception | None = None
        same = itertools.groupby(LinePairs(self._read(), form), _KEY)
        self._groups = ((key, map(_VALUE, pairs)) for key, pairs in same)

    def __next__(self) -> Group:
        if group := next(self._groups, None):
            return group
        # It may have been raised where user code read its values, and that code went on.
        raise self._failure or StopIteration

    def _read(self) -> Iterator[bytes]:
        try:
            yield from self._texts
        except Exception as error:
            self._failure = error
            raise

    def texts(self, counters: Counter[str]) -> Iterator[bytes]:
        """The lines, many at a time. Their keys are counted as `reduce_input_groups`.

        >>> counters, texts = Counter(), [b"be\\t1\\n", b"be\\t2\\nto\\t1\\n"]
        >>> b"".join(LineGroups(texts, LineForm()).texts(counters)), counters.total()
        (b'be\\t1\\nbe\\t2\\nto\\t1\\n', 2)
        """
        last: bytes | None = None
        for text in self._texts:
            keys = Lines(text, self.form).keys()
            changes = sum(map(operator.ne, keys, itertools.islice(keys, 1, None)))
            counters["reduce_input_groups"] += changes + (keys[0] != last)
            last = keys[-1]
            yield text


# Cutting -----------------------------------------------------------------------------------------


def whole_lines(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes cut behind newlines; the last line gets one if it has none.

    >>> list(whole_lines([b"to\\t1\\nbe", b"\\t1\\nor"]))
    [b'to\\t1\\n', b'be\\t1\\n', b'or\\n']
    """
    unfinished: list[bytes] = []
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield b"".join([*unfinished, block[:end]])
            unfinished = []
        if end < len(block):
            unfinished.append(block[end:])
    if unfinished:
        yield b"".join([*unfinished, b"\n"])


def _cut(block: bytes, separator: bytes, fields: int) -> Columns:
    """A block of lines. Those with one field as the key are cut in C, as far as their lines are
    alike; which they are is told by counting."""
    count = block.count(b"\n")
    if fields == 1:
        found = block.count(separator)
        if not found:
            return Columns(block[:-1].split(b"\n"), Same(None, count))
        # The value that the last line has: perhaps all have it.
        value = block[block.rfind(separator) + len(separator) : -1]
        end = separator + value + b"\n"
        if found == count == block.count(end):
            return Columns(block.split(end)[:-1], Same(value, count))
        if found == count and len(separator) == 1 and _alternates(block, separator):
            both = block[:-1].replace(b"\n", separator).split(separator)
            return Columns(both[::2], both[1::2])
    lines = block[:-1].split(b"\n")
    if fields == 1:
        cut = [line.partition(separator) for line in lines]
        return Columns([key for key, _, _ in cut], [end if at else None for _, at, end in cut])
    pairs = [_pair(line.split(separator, fields), separator, fields) for line in lines]
    return Columns([key for key, _ in pairs], [value for _, value in pairs])


def _alternates(block: bytes, separator: bytes) -> bool:
    """True if every line has one separator."""
    marks = block.translate(None, _all_but(separator + b"\n"))
    return marks == (separator + b"\n") * (len(marks) // 2)


@functools.cache
def _all_but(kept: bytes) -> bytes:
    return bytes(set(range(256)) - set(kept))


def _pair(found: list[bytes], separator: bytes, fields: int) -> tuple[bytes, bytes | None]:
    if len(found) <= fields:
        return separator.join(found), None
    return separator.join(found[:fields]), found[fields]
