"""Which server is on which machine, and the workers of each."""

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dynamo.config.limiting import limits
from dynamo.config.sections import Section
from dynamo.config.shapes import HostConfig, MasterConfig, NodeConfig, WorkerConfig


class Seat(NamedTuple):
    """A worker's place. `section` has its further keys; None where there are none."""

    name: str
    node: str
    host: str
    section: Section | None


def workers(
    nodes: Sequence[NodeConfig], sections: Sequence[Section], counts: Mapping[str, int]
) -> tuple[WorkerConfig, ...]:
    """The workers of the file; on the hosts in `counts` there are so many instead."""
    machines = {node.name: node.host for node in nodes}
    seats = [
        Seat(s.name, s.get("node"), s.get("host") or machines[s.get("node")], s) for s in sections
    ]
    several = len({node.host for node in nodes}) > 1
    for host, count in counts.items():
        here = [node.name for node in nodes if node.host == host]
        if here:
            # No other host may come upon the same name.
            names = (f"{host}-w{n}" if several else f"w{n}" for n in itertools.count(1))
            seats = _with_count(seats, here, host, count, names)
    crowds = Counter(seat.host for seat in seats)
    return tuple(_worker(seat, max(1, _cpus() // crowds[seat.host])) for seat in seats)


def _with_count(
    seats: Sequence[Seat], nodes: Sequence[str], host: str, count: int, names: Iterator[str]
) -> list[Seat]:
    """`seats` with the first `count` of a host, and new ones for those it lacks, with the first of
    `names` that are free. Each of these is beside the node that has the fewest, and otherwise like
    the first there is."""
    here = [seat for seat in seats if seat.host == host]
    others = [seat for seat in seats if seat.host != host]
    like = here[0].section if here else seats[0].section if seats else None
    taken = {seat.name for seat in seats}
    free = (name for name in names if name not in taken)
    beside = Counter(seat.node for seat in here)
    while len(here) < count:
        node = min(nodes, key=beside.__getitem__)
        beside[node] += 1
        here.append(Seat(next(free), node, host, like))
    return [*others, *here[:count]]


def _worker(seat: Seat, share: int) -> WorkerConfig:
    if seat.section is None:
        return WorkerConfig(seat.name, seat.node, share, seat.host)
    slots = seat.section.get("slots") or share
    return WorkerConfig(seat.name, seat.node, slots, seat.host, limits(seat.section, slots))


def hosts(
    servers: Iterable[NodeConfig | MasterConfig | WorkerConfig],
    sections: Iterable[Section],
    folder: str,
) -> tuple[HostConfig, ...]:
    """The machines of the servers; what has no section is found by its name. `folder` is that of
    the file here."""
    described = {section.name: section for section in sections}
    names = dict.fromkeys(server.host for server in servers)
    for name, section in described.items():
        if name not in names:
            raise section.error("", f"no server is on this host; they are on {', '.join(names)}")
    return tuple(_host(name, described.get(name), folder) for name in names)


def _host(name: str, section: Section | None, folder: str) -> HostConfig:
    if section is None:
        return HostConfig(name, name, (), folder, "")
    return HostConfig(
        name,
        section.get("ssh") or name,
        section.get("ssh_options") or (),
        section.get("folder") or folder,
        section.get("python") or "",
    )


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        return os.cpu_count() or 1
