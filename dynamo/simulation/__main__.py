"""`python -m dynamo.simulation --seed n`: one seed with its ladder, or many with their verdict."""

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence

from dynamo.simulation import ladder
from dynamo.simulation.many import Verdict, verdicts
from dynamo.simulation.operator import NAME as OPERATOR
from dynamo.simulation.plan import FAULTS
from dynamo.simulation.run import Run, command, simulate

PROGRESS_S = 5.0
"""How often a line tells how far many seeds are."""


def main(arguments: Sequence[str] | None = None, simulate: Callable[[int], Run] = simulate) -> int:
    """Exit code 0 if no seed breaks a promise, else 1."""
    options = _parser().parse_args(arguments)
    if options.seeds == 1:
        run = simulate(options.seed)
        _print_ladder(run, options.key, options.gossip)
        _print_result(run)
        return 1 if run.violations else 0
    seeds = range(options.seed, options.seed + options.seeds)
    return _many(verdicts(seeds, options.processes, simulate), simulate, seeds, options)


def _parser() -> argparse.ArgumentParser:
    kinds = (f"  {kind:<14}{text}" for kind, text in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m dynamo.simulation",
        description="Run the store's nodes in a virtual world that follows from a seed: networks "
        "lose and separate, machines crash and limp, disks fail, clients collide; then check what "
        "they were told.",
        epilog="\n".join(["kinds of faults, each of them in some seeds:", *kinds]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed, or the first of many")
    parser.add_argument("--seeds", type=_positive, default=1, help="how many seeds in a row")
    parser.add_argument("--key", help="show only this key (key1, key2, ...) in the ladder")
    parser.add_argument(
        "--gossip", action="store_true", help="show gossip and roots in the ladder too"
    )
    parser.add_argument(
        "--ladder", action="store_true", help="with many seeds: draw each violation's ladder"
    )
    parser.add_argument(
        "--most", type=_positive, default=10, help="stop after so many bad seeds (10)"
    )
    parser.add_argument(
        "--processes", type=_positive, default=os.cpu_count() or 1, help="default: one per core"
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {number}")
    return number


def _many(
    judged: Iterable[Verdict],
    simulate: Callable[[int], Run],
    seeds: range,
    options: argparse.Namespace,
) -> int:
    began, bad = time.monotonic(), 0
    told = began
    for done, (seed, is_bad) in enumerate(judged, start=1):
        if is_bad:
            bad += 1
            _show(seed, simulate, options.ladder)
        last = done == len(seeds) or bad == options.most
        if last or time.monotonic() - told >= PROGRESS_S:
            told = time.monotonic()
            print(f"{done:,} of {len(seeds):,} seeds, {bad} with violations", flush=True)
        if last:
            break
    print(f"{time.monotonic() - began:.1f} s")
    return 1 if bad else 0


def _show(seed: int, simulate: Callable[[int], Run], with_ladder: bool) -> None:
    """Run a bad seed once more, and tell what is wrong with it."""
    try:
        run = simulate(seed)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return
    if with_ladder:
        _print_ladder(run, run.violations[0].key)
    _print_result(run)


def _print_ladder(run: Run, key: str | None, gossip: bool = False) -> None:
    plan = run.plan
    participants = [
        *plan.client_names,
        *plan.machine_names,
        *([OPERATOR] if plan.changes else []),
        "reader",
    ]
    for line in ladder.draw(run.trace, participants, key, gossip=gossip):
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
