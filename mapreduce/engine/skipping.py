"""Bad records: those that make a task fail are found by halving, and the task is done without them.

A probe is the task over a range of its records, whose output nobody keeps. A range that fails is
cut into halves until a record fails by itself. So it takes about two probes for each halving and
bad record, whatever the failure is: an error, a crash, or a record that takes too long. (Hadoop's
`SkipBadRecords` learns from each failed attempt what to leave out of the next one; here one attempt
finds them all.)
"""

from collections.abc import Callable, Generator

import msgspec

from mapreduce.engine.orders import Outcome, TaskOrder

Range = tuple[int, int]


def search(count: int, most: int) -> Generator[Range, bool, list[int]]:
    """Finds the bad ones of `count` records, each of which fails wherever it is; or `most` + 1 of
    them, if there are more. Yields ranges to try, and is sent whether they were done without a
    failure.

    >>> halving, tried = search(8, most=10), []
    >>> try:
    ...     wanted = next(halving)
    ...     while True:
    ...         tried.append(wanted)
    ...         wanted = halving.send(5 not in range(*wanted))
    ... except StopIteration as end:
    ...     tried, end.value
    ([(0, 8), (0, 4), (4, 6), (4, 5), (5, 6), (6, 8)], [5])
    """
    found: list[int] = []
    if not (yield 0, count):
        yield from _look(0, count, found, most)
    return found


def _look(start: int, stop: int, found: list[int], most: int) -> Generator[Range, bool, None]:
    """Search a range that has failed, or of which it is known by its other half that it would."""
    if stop - start <= 1:
        found.append(start)
        return
    middle = (start + stop) // 2
    left_is_good = yield start, middle
    if not left_is_good:
        yield from _look(start, middle, found, most)
    if len(found) > most:
        return
    # That a range fails and its first half doesn't says that the second would, but for a last look:
    # records may fail only together, and then none is bad.
    alone = stop - middle == 1
    if (left_is_good and not alone) or not (yield middle, stop):
        yield from _look(middle, stop, found, most)


def run(order: TaskOrder, most: int, attempt: Callable[[TaskOrder], Outcome]) -> Outcome:
    """Find the records that make a task fail, and do the task without them; `most` may be left out.
    `attempt` does what it is told, once."""
    without_any = attempt(_probe(order, (0, 0)))
    if without_any.result is None:
        return without_any  # it is no record's fault
    errors: dict[int, str] = {}
    halving = search(without_any.result.records, most)
    try:
        wanted = next(halving)
        while True:
            outcome = attempt(_probe(order, wanted))
            if outcome.lost:
                return outcome
            if outcome.result is None and wanted[1] - wanted[0] == 1:
                errors[wanted[0]] = outcome.error
            wanted = halving.send(outcome.result is not None)
    except StopIteration as end:
        bad: list[int] = end.value
    if len(bad) > most:
        return Outcome(attempt=order.attempt, error=_too_many(most, errors[bad[-1]]))
    plain = msgspec.structs.replace(order, skipping=False, without=tuple(bad))
    return _with_errors(attempt(plain), errors)


def _probe(order: TaskOrder, wanted: Range) -> TaskOrder:
    return msgspec.structs.replace(order, skipping=False, probe=wanted)


def _too_many(most: int, error: str) -> str:
    return (
        f"the task has more bad records than the {most:,} that it may leave out "
        f"(skip_bad_records); one of them said:\n{error}"
    )


def _with_errors(outcome: Outcome, errors: dict[int, str]) -> Outcome:
    """What is told of records that were left out, with what each of them had said."""
    if outcome.result is None:
        return outcome
    told = tuple(
        msgspec.structs.replace(skipped, error=in_a_line(errors.get(skipped.number, "")))
        for skipped in outcome.result.skipped
    )
    return msgspec.structs.replace(
        outcome, result=msgspec.structs.replace(outcome.result, skipped=told)
    )


def in_a_line(error: str) -> str:
    """The line of an error that says most.

    >>> in_a_line("Traceback (most recent call last):\\n  File ...\\nValueError: no\\nin map")
    'ValueError: no'
    """
    lines = [
        line for line in error.splitlines() if line and not line.startswith((" ", "Traceback"))
    ]
    return lines[0] if lines else error
