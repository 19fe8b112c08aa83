"""Puts a second and their latency, beside a bare zerorpc echo in the same run.

Three nodes on this machine, N=3, W=2, fsync on, values of 100 bytes, new keys. A caller is a closed
loop: it begins its next put (or echo) when its last one has ended. The echo server does nothing but
send back 100 bytes: it is what zerorpc alone can do, one call for each operation.
"""

import multiprocessing
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gevent
import zerorpc

from cli.cluster_processes import ClusterProcesses
from cli.local_cluster import free_ports, write_config
from dynamo.net.client import Client

CALLERS = (1, 20, 100, 500)
SECONDS = 4.0
VALUE = b"x" * 100

Latencies = list[float]


def main() -> None:
    print("puts (3 nodes, N=3, W=2, fsync on) beside zerorpc echo calls; latency in ms")
    print(f"{'callers':>8} {'puts/s':>9} {'echo/s':>9} {'ratio':>6} {'median':>8} {'99.9%':>8}")
    with tempfile.TemporaryDirectory() as folder:
        config = write_config(Path(folder), masters=0, workers=0)
        processes = ClusterProcesses(config)
        processes.up(say=lambda line: None)
        try:
            with Client([node.address for node in config.nodes]) as client, EchoServer() as echo:
                client.put("warm", VALUE)
                for callers in CALLERS:
                    _report(callers, puts(client, callers), echo.calls(callers))
        finally:
            processes.down(say=lambda line: None)


def _report(callers: int, ours: Latencies, theirs: Latencies) -> None:
    ours.sort()
    rate, echo_rate = len(ours) / SECONDS, len(theirs) / SECONDS
    median, tail = (ours[int(len(ours) * share)] * 1000 for share in (0.5, 0.999))
    ratio = rate / echo_rate
    print(f"{callers:8} {rate:9,.0f} {echo_rate:9,.0f} {ratio:6.2f} {median:8.1f} {tail:8.1f}")


def puts(client: Client, callers: int) -> Latencies:
    """The latency of every put that `callers` closed loops finish in `SECONDS`."""
    latencies: Latencies = []
    ended = threading.Semaphore(0)
    stop_at = time.perf_counter() + SECONDS

    def begin(caller: int, turn: int) -> None:
        began = time.perf_counter()
        if began >= stop_at:
            ended.release()
            return

        def end(future: "Future[Any]") -> None:
            future.result()
            latencies.append(time.perf_counter() - began)
            begin(caller, turn + 1)

        client.put_async(f"{callers}/{caller}/{turn}", VALUE).add_done_callback(end)

    for caller in range(callers):
        begin(caller, 0)
    for _ in range(callers):
        ended.acquire()
    return latencies


class EchoServer:
    """A zerorpc server in a process of its own that sends back what it gets."""

    def __enter__(self) -> "EchoServer":
        self.address = f"tcp://127.0.0.1:{free_ports(1)[0]}"
        spawn = multiprocessing.get_context("spawn")
        ours, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_serve_echo, args=(self.address, theirs), daemon=True)
        self._process.start()
        ours.recv()
        return self

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.join()

    def calls(self, callers: int) -> Latencies:
        """The latency of every call that `callers` greenlets finish in `SECONDS`."""
        latencies: Latencies = []
        rpc = zerorpc.Client(self.address, heartbeat=None)
        stop_at = time.perf_counter() + SECONDS
        greenlets = [
            gevent.spawn(_call_until, stop_at, rpc.echo, latencies) for _ in range(callers)
        ]
        gevent.joinall(greenlets, raise_error=True)
        rpc.close()
        return latencies


def _call_until(stop_at: float, echo: Callable[[bytes], bytes], latencies: Latencies) -> None:
    while (began := time.perf_counter()) < stop_at:
        echo(VALUE)
        latencies.append(time.perf_counter() - began)


class _Echo:
    def echo(self, value: bytes) -> bytes:
        return value


def _serve_echo(address: str, ready: Connection) -> None:
    server = zerorpc.Server(_Echo(), heartbeat=None)
    server.bind(address)
    ready.send(True)
    server.run()


if __name__ == "__main__":
    main()
