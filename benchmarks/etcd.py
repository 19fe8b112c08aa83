"""A three-node etcd on loopback with callers, where Debian's etcd-server is installed.

Callers speak to the leader's own JSON gateway (`/v3/kv/put`), each over one connection that is kept
open. They are one loop that does as little as it can: about 20 µs of this process for an operation.
"""

import base64
import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.cluster import Latencies
from cli.local_cluster import free_ports

READY_S = 30.0
GOOD = b"HTTP/1.1 200"

Body = Callable[[int, int], dict[str, str]]
"""What a caller asks for in a turn."""


def installed() -> bool:
    return shutil.which("etcd") is not None


class Etcd:
    """Three members with fresh data below `folder`; ended, by their ids, with the block."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._members: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Etcd":
        ports = free_ports(6)
        self._ports, peers = ports[:3], ports[3:]
        together = ",".join(f"e{n}=http://127.0.0.1:{port}" for n, port in enumerate(peers))
        try:
            for number in range(3):
                self._start(f"e{number}", self._ports[number], peers[number], together)
            self._leader = self._await_leader()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def puts(self, callers: int, seconds: float, value: bytes) -> Latencies:
        text = _base64(value)
        return self._run(
            callers, seconds, "put", lambda caller, turn: {"key": _key(caller, turn), "value": text}
        )

    def gets(self, callers: int, seconds: float, written: int) -> Latencies:
        """Linearizable reads, which are etcd's default, of keys that `puts` has written."""
        return self._run(
            callers, seconds, "range", lambda caller, turn: {"key": _key(caller, turn % written)}
        )

    def check_perf(self) -> int | None:
        """The writes a second that etcd's own check counts in a minute; None without `etcdctl`."""
        if shutil.which("etcdctl") is None:
            return None
        endpoints = ",".join(f"http://127.0.0.1:{port}" for port in self._ports)
        command = ["etcdctl", f"--endpoints={endpoints}", "check", "perf", "--load=l"]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        said = subprocess.run(command, capture_output=True, text=True, env=environment)
        found = re.search(r"(\d+) writes/s", said.stdout + said.stderr)
        if found is None:
            raise SystemExit(f"etcdctl check perf said {said.stdout + said.stderr!r}")
        return int(found[1])

    def _start(self, name: str, port: int, peer_port: int, together: str) -> None:
        address, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
        options = {
            "name": name,
            "data-dir": str(self._folder / name),
            "listen-client-urls": address,
            "advertise-client-urls": address,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": together,
            "logger": "zap",
            "log-level": "error",
        }
        command = ["etcd", *(f"--{option}={value}" for option, value in options.items())]
        with (self._folder / f"{name}.log").open("wb") as log:
            self._members.append(subprocess.Popen(command, stdout=log, stderr=log))

    def _await_leader(self) -> int:
        """The port of the member that leads, once there is one."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            for port in self._ports:
                status = _status(port)
                if status and status.get("leader") == status["header"]["member_id"]:
                    return port
            time.sleep(0.1)
        raise SystemExit(f"etcd had no leader after {READY_S:.0f} s")

    def _stop(self) -> None:
        for member in self._members:
            member.kill()  # its data goes with the folder
        for member in self._members:
            member.wait()

    def _run(self, callers: int, seconds: float, what: str, body: Body) -> Latencies:
        address = ("127.0.0.1", self._leader)
        connections = [socket.create_connection(address) for _ in range(callers)]
        for connection in connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            return _loop(connections, seconds, what, body)
        finally:
            for connection in connections:
                connection.close()


def _loop(connections: list[socket.socket], seconds: float, what: str, body: Body) -> Latencies:
    latencies: Latencies = []
    began = [0.0] * len(connections)
    turns = [0] * len(connections)
    answered = selectors.DefaultSelector()

    def ask(caller: int) -> None:
        began[caller] = time.perf_counter()
        connections[caller].sendall(_request(what, body(caller, turns[caller])))
        turns[caller] += 1

    for caller, connection in enumerate(connections):
        answered.register(connection, selectors.EVENT_READ, caller)
        ask(caller)
    stop_at = time.perf_counter() + seconds
    under_way = len(connections)
    while under_way:
        for key, _ in answered.select():
            caller = key.data
            answer = connections[caller].recv(65536)
            if not answer.startswith(GOOD):
                raise SystemExit(f"etcd answered {what} with {answer[:200]!r}")
            now = time.perf_counter()
            latencies.append(now - began[caller])
            if now < stop_at:
                ask(caller)
            else:
                under_way -= 1
    answered.close()
    return latencies


def _request(what: str, body: dict[str, str]) -> bytes:
    data = json.dumps(body).encode()
    head = f"POST /v3/kv/{what} HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


def _status(port: int) -> dict[str, Any] | None:
    """What a member says of itself; None until it answers."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/v3/maintenance/status", data=b"{}") as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except OSError:
        return None


def _key(caller: int, turn: int) -> str:
    return _base64(b"%d/%d" % (caller, turn))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
