"""What a cluster of 10, 100 and 1,000 nodes says to itself, and how long it takes to agree.

Whole nodes, the ones that serve, over the network and the clock of the simulation: times are
virtual seconds (an envelope takes 0.5 to 4.5 ms, a commit up to 10 ms, now and then 300), and the
bytes those of the wire's encoding. No keys are stored: this is the price of the cluster itself.

    founding   all start at once; until every node answers requests, and until all know the same
    at rest    what nodes say when nothing happens: gossip, and the comparing of empty partitions
    a join     from the commit until all go by each phase, and by the new table at the end
    a death    until all who share a partition with a node take it to be down
"""

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from dynamo.net import wire
from dynamo.protocol.messages import Envelope, Rumour
from dynamo.simulation.crowd import Crowd
from dynamo.values.cluster import Phase, Table
from dynamo.values.moves import moves

SIZES = ((10, 64), (100, 1024), (1000, 8192))
"""Nodes, and partitions."""
REST_S = 20.0
CALM_S = 5.0
"""For what is left of a change to pass."""
KILLED, CUT_OFF = "n5", "n7"
COLUMNS = "{:44} {:>9} {:>12} {:>14}"


def main() -> None:
    for nodes, partitions in SIZES:
        began, cpu = time.perf_counter(), time.process_time()
        print(f"{nodes:,} nodes, {partitions:,} partitions, N=3")
        print(COLUMNS.format("", "virtual s", "messages", "bytes"), flush=True)
        measure(Crowd(nodes, partitions, size_of=_Sizes().of))
        _print_cost(time.perf_counter() - began, time.process_time() - cpu)


def measure(crowd: Crowd) -> None:
    """One cluster from its founding to the death of a node; prints a line for each."""
    found_it(crowd)
    crowd.traffic.clear()
    crowd.rest(REST_S)
    _row("at rest, each second", REST_S, crowd, REST_S)
    before = crowd.table
    join(crowd)
    _print_ownership(before, crowd.table)
    crowd.rest(CALM_S)
    lose(crowd, "killed, connections refused", KILLED, crowd.kill)
    crowd.rest(CALM_S)
    lose(crowd, "cut off, nothing arrives", CUT_OFF, crowd.cut_off)


def found_it(crowd: Crowd) -> None:
    settled_s = crowd.until(crowd.has_settled)
    _row("founding: all answer requests", settled_s, crowd)
    _row("  and know the same", settled_s + crowd.until(crowd.agrees), crowd)
    crowd.rest(CALM_S)


def join(crowd: Crowd) -> None:
    crowd.stage_join()
    crowd.rest(CALM_S)
    crowd.traffic.clear()
    phases, total_s = (Phase.FILLING, Phase.SWITCHING, Phase.STABLE), 0.0
    first = crowd.table.rank.epoch + 1
    crowd.commit()
    for epoch, phase in enumerate(phases, start=first):
        total_s += crowd.until(partial(crowd.has_come_to, phase, epoch))
        print(f"  all are in phase {phase:28} {total_s:8.2f}", flush=True)
    _row("a join, until all go by the new table", total_s, crowd)
    _row("  and know the same", total_s + crowd.until(crowd.agrees), crowd)


def lose(crowd: Crowd, how: str, victim: str, strike: Callable[[str], None]) -> None:
    running = {machine.name for machine in crowd.members}
    sharers = set(crowd.sharers(victim)) & running
    strike(victim)
    crowd.traffic.clear()
    took_s = crowd.until(lambda: sharers <= crowd.take_to_be_down(victim))
    _row(how, took_s, crowd)
    knowing = crowd.take_to_be_down(victim) - sharers
    others = len(running) - len(sharers) - 1
    print(f"  all {len(sharers)} who share a partition know, and {len(knowing)} of {others} others")


class _Sizes:
    """How many bytes an envelope takes on the wire; four rumours of the same news are one look."""

    def __init__(self) -> None:
        self._news: object = None
        self._news_bytes = 0

    def of(self, envelope: Envelope) -> int:
        message = envelope.message
        if isinstance(message, Rumour) and message.news is self._news:
            return self._news_bytes
        size_bytes = len(wire.encode(wire.Frame(envelope.sender, 0, [envelope])))
        if isinstance(message, Rumour):
            self._news, self._news_bytes = message.news, size_bytes
        return size_bytes


def _row(what: str, virtual_s: float, crowd: Crowd, over_s: float = 1.0) -> None:
    """Time, and what each node sent meanwhile on average, in each of `over_s`."""
    traffic, nodes = crowd.traffic, len(crowd.members)
    messages = traffic.messages.total() / nodes / over_s
    size_bytes = traffic.size_bytes.total() / nodes / over_s
    print(COLUMNS.format(what, f"{virtual_s:.2f}", f"{messages:,.1f}", f"{size_bytes:,.0f}"))
    for kind, count in traffic.messages.most_common(3):
        share = traffic.size_bytes[kind] / nodes / over_s
        each = f"{count / nodes / over_s:,.1f}"
        print(COLUMNS.format(f"    {kind}", "", each, f"{share:,.0f}"), flush=True)
    traffic.clear()


def _print_ownership(before: Table, after: Table) -> None:
    least = len(after.owners) // len(after.members)
    moved = sum(one != other for one, other in zip(before.owners, after.owners))
    moving = moves(before.reading, after.reading, after.n)
    takers = Counter(node for move in moving for node in move.takers)
    joined = (set(after.members) - set(before.members)).pop()
    print(f"  partitions of a node: {_least_and_most(before.owners)} before, ", end="")
    print(f"{_least_and_most(after.owners)} after the join; {moved} moved, the least is {least}")
    print(f"  copies: {takers.total()} moved, {takers[joined]} of them to the new node")


def _least_and_most(owners: Iterable[str]) -> str:
    counts = Counter(owners).values()
    return f"{min(counts)} to {max(counts)}"


def _print_cost(wall_s: float, cpu_s: float) -> None:
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"  (took {wall_s:.0f} s, {cpu_s:.0f} of CPU; memory up to {peak_mib:,.0f} MiB)\n")


if __name__ == "__main__":
    main()
