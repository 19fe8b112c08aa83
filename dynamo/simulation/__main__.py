"""`python -m dynamo.simulation --seed n`: one seed with its ladder, or many with their verdict."""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from dynamo.simulation import ladder
from dynamo.simulation.run import Run, command, simulate


def main(arguments: Sequence[str] | None = None, simulate: Callable[[int], Run] = simulate) -> int:
    """Exit code 0 if no seed breaks a promise, else 1."""
    options = _parser().parse_args(arguments)
    if options.seeds == 1:
        run = simulate(options.seed)
        _print_ladder(run, options.key)
        _print_result(run)
        return 1 if run.violations else 0
    seeds = range(options.seed, options.seed + options.seeds)
    return _many(map(simulate, seeds), len(seeds), options.ladder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dynamo.simulation",
        description="Run the store's nodes in a virtual world that follows from a seed: networks "
        "lose and reorder, machines crash, clients collide; then check what they were told.",
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed, or the first of many")
    parser.add_argument("--seeds", type=_positive, default=1, help="how many seeds in a row")
    parser.add_argument("--key", help="show only this key (key1, key2, ...) in the ladder")
    parser.add_argument(
        "--ladder", action="store_true", help="with many seeds: draw each violation's ladder"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {number}")
    return number


def _many(runs: Iterable[Run], count: int, with_ladder: bool) -> int:
    began, bad = time.monotonic(), 0
    for done, run in enumerate(runs, start=1):
        if run.violations:
            bad += 1
            if with_ladder:
                _print_ladder(run, run.violations[0].key)
            _print_result(run)
        if done % 100 == 0 or done == count:
            print(f"{done:,} of {count:,} seeds, {bad} with violations", flush=True)
    print(f"{time.monotonic() - began:.1f} s")
    return 1 if bad else 0


def _print_ladder(run: Run, key: str | None) -> None:
    plan = run.plan
    participants = [*plan.client_names, *plan.node_names, "reader"]
    for line in ladder.draw(run.trace, participants, key):
        print(line)


def _print_result(run: Run) -> None:
    print(run.summary)
    for violation in run.violations:
        print(f"VIOLATION {violation}")
    if run.violations:
        print(f"again: {command(run.plan.seed)}")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `... | head` ends it without a traceback
    sys.exit(main())
