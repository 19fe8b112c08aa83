"""A bare zerorpc echo: what zerorpc alone can do, one call for each operation, nothing stored."""

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

import gevent
import zerorpc

from benchmarks.cluster import Latencies
from cli.local_cluster import free_ports


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

    def calls(self, callers: int, seconds: float, value: bytes) -> Latencies:
        """The latency of every call that `callers` greenlets finish."""
        latencies: Latencies = []
        rpc = zerorpc.Client(self.address, heartbeat=None)
        stop_at = time.perf_counter() + seconds
        greenlets = [
            gevent.spawn(_call_until, stop_at, rpc.echo, value, latencies) for _ in range(callers)
        ]
        gevent.joinall(greenlets, raise_error=True)
        rpc.close()
        return latencies


def _call_until(
    stop_at: float, echo: Callable[[bytes], bytes], value: bytes, latencies: Latencies
) -> None:
    while (began := time.perf_counter()) < stop_at:
        echo(value)
        latencies.append(time.perf_counter() - began)


class _Echo:
    def echo(self, value: bytes) -> bytes:
        return value


def _serve_echo(address: str, ready: Connection) -> None:
    server = zerorpc.Server(_Echo(), heartbeat=None)
    server.bind(address)
    ready.send(True)
    server.run()
