"""Puts and gets a second and their latency, beside a zerorpc echo and a three-node etcd.

Three nodes on this machine, N=3, W=2, R=2, fsync on, values of 100 bytes; the etcd has three nodes,
the same disk, as many callers and values of the same size, and syncs its log too. A caller is a
closed loop: it begins its next operation when its last one has ended. For each number of callers
all take their turn within seconds, so what counts are the ratios.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from benchmarks.cluster import Latencies, Running, closed_loops, cluster, median_and_tail
from benchmarks.echo import EchoServer
from benchmarks.etcd import Etcd, installed

CALLERS = (1, 20, 100, 500)
SECONDS = 3.0
VALUE = b"x" * 100
KEYS = 8
"""How many of its keys each caller reads."""


def main() -> None:
    if not installed():
        print("etcd is not installed (apt-get install etcd-server): its columns are empty\n")
    with cluster() as running, EchoServer() as echo, _etcd(running.folder) as etcd:
        _head("puts")
        for callers in CALLERS:
            ours = puts(running, callers)
            theirs = etcd.puts(callers, SECONDS, VALUE) if etcd else []
            _row(callers, ours, echo.calls(callers, SECONDS, VALUE), theirs)
        _head("gets")
        for callers in CALLERS:
            ours = gets(running, callers)
            theirs = etcd.gets(callers, SECONDS, KEYS) if etcd else []
            _row(callers, ours, echo.calls(callers, SECONDS, VALUE), theirs)
        # Last: etcd is slow for a while after it.
        if etcd and (counted := etcd.check_perf()):
            print(f"etcd by its own `etcdctl check perf --load=l`: {counted:,} writes a second\n")


def puts(running: Running, callers: int) -> Latencies:
    return closed_loops(
        callers,
        SECONDS,
        lambda caller, turn: running.client.put_async(f"{callers}/{caller}/{turn}", VALUE),
    )


def gets(running: Running, callers: int) -> Latencies:
    """Reads of what `puts` has written."""
    return closed_loops(
        callers,
        SECONDS,
        lambda caller, turn: running.client.get_async(f"{callers}/{caller}/{turn % KEYS}"),
    )


@contextlib.contextmanager
def _etcd(folder: Path) -> Iterator[Etcd | None]:
    if not installed():
        yield None
        return
    with Etcd(folder) as etcd:
        yield etcd


def _head(what: str) -> None:
    print(f"{what} a second; latency in ms (median, 99.9%)")
    print(
        f"{'callers':>8} {what:>8} {'median':>7} {'99.9%':>7} {'echo':>8} {'÷ echo':>7} "
        f"{'etcd':>7} {'median':>7} {'99.9%':>7} {'÷ etcd':>7}"
    )


def _row(callers: int, ours: Latencies, echo: Latencies, etcd: Latencies) -> None:
    rate, echo_rate, etcd_rate = (len(each) / SECONDS for each in (ours, echo, etcd))
    row = f"{callers:8} {rate:8,.0f} {_times(ours)} {echo_rate:8,.0f} {rate / echo_rate:7.2f}"
    if etcd:
        row += f" {etcd_rate:7,.0f} {_times(etcd)} {rate / etcd_rate:7.2f}"
    print(row, flush=True)


def _times(latencies: Latencies) -> str:
    median, tail = median_and_tail(latencies)
    return f"{median:7.1f} {tail:7.1f}"


if __name__ == "__main__":
    main()
