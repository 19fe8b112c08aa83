"""`python -m tests.simulation.jobs --seed n`: one seed, line by line, or the verdict on many."""

import argparse
import os
import sys
import time
from collections.abc import Sequence

from dynamo.simulation.many import verdicts
from tests.simulation.jobs.plan import TROUBLE, Plan
from tests.simulation.jobs.world import Run, World, command, simulate_seed

MOST = 10
"""Bad seeds, and then it stops."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 if nothing was wrong in any seed, else 1."""
    options = _parser().parse_args(arguments)
    if options.seeds == 1:
        return _tell(options.seed)
    began, bad = time.monotonic(), []
    seeds = range(options.seed, options.seed + options.seeds)
    for seed, is_bad in verdicts(seeds, options.processes, simulate_seed):
        if is_bad:
            bad.append(seed)
            print(f"seed {seed} is bad; see it: {command(seed)}", flush=True)
        if len(bad) == MOST:
            break
    print(f"{len(seeds):,} seeds, {len(bad)} bad, {time.monotonic() - began:.1f} s")
    return 1 if bad else 0


def _tell(seed: int) -> int:
    """What happens in the world of a seed, and what is wrong with it."""
    world = World(Plan.drawn(seed), tell=print)
    print(world.plan)
    run = Run.of(world)
    for violation in run.violations:
        print(f"VIOLATION {violation}")
    print(f"{len(world.records)} jobs, {world.now:.0f} s, {dict(sorted(world.counted.items()))}")
    return 1 if run.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.jobs",
        description="Run the scheduler of jobs in a virtual cluster that follows from a seed, and "
        "compare what it gives with a sequential run.",
        epilog="\n".join(["trouble, of which each seed has some:", *map(_line, TROUBLE.items())]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, default=1, help="the seed, or the first of many")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds in a row")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="default: one per core"
    )
    return parser


def _line(kind: tuple[str, str]) -> str:
    return f"  {kind[0]:<12}{kind[1]}"


if __name__ == "__main__":
    sys.exit(main())
