"""Which record it was, when something is wrong with a pair and that is seen late.

A partition that can't be, a value that has no pickle, keys that can't be compared: this is seen
when a run or a block is written, long after the record that the pair came from. The split is then
mapped once more, pair by pair, up to the first pair that the error is about. While all is well
nobody pays for it.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from mapreduce.api import Context, Pair
from mapreduce.errors import BadPair


def where(error: BadPair, context: Context, mapped: Callable[[], Iterator[Pair]]) -> str:
    """The method, the input and the record that gave the pair of the error; "" if it does not come
    again, or the error knows none. `mapped` maps the split again, with that context."""
    is_about, places = error.is_about, list[str]()
    if is_about is None:
        return ""

    def look(given: Any) -> None:
        if not places and is_about(given) and context.where is not None:
            places.append(context.where(True))

    def emit(name: str, key: Any, value: Any) -> None:
        if name == error.output:
            look((key, value))

    context.write_named = emit
    with contextlib.suppress(Exception):  # user code that does something else the second time
        for pair in mapped():
            if not error.output:
                look(pair)
            if places:
                break
    return places[0] if places else ""
