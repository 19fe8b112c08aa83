"""Hosts on this machine: network namespaces of their own, joined by one switch.

    host n1 ── eth0 ┐
    host n2 ── eth0 ┼ the switch, a bridge in a namespace of its own
    clients ── eth0 ┘

Nothing is added to the machine's own network, so any addresses will do, and everything goes with
the namespaces. It takes root and the command `ip` (iproute2); no firewall is needed: a host that
must not reach another gets a blackhole route to it, and one that is cut off from all is unplugged.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from uuid import uuid4

CLONE_NEWNET = 0x40000000
"""A network namespace, for setns(2)."""


def why_not() -> str:
    """Why no namespaces can be made here; "" if they can."""
    if os.name != "posix" or shutil.which("ip") is None:
        return "the command `ip` (iproute2) is not installed"
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"dynamo-{uuid4().hex[:8]}-try"
    try:
        _ip("netns", "add", name)
        try:
            _ip("netns", "exec", name, "true")
        finally:
            _ip("netns", "delete", name)
    except subprocess.CalledProcessError as error:
        return f"network namespaces are not allowed here: {error.stderr.strip()}"
    return ""


class Network:
    """Use it as a context: all namespaces are gone at its end."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._name = f"dynamo-{uuid4().hex[:8]}"
        self._hosts = list(hosts)

    def __enter__(self) -> "Network":
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._remove()

    def address(self, host: str) -> str:
        return f"10.0.0.{self._hosts.index(host) + 1}"

    def command(self, host: str, command: Sequence[str]) -> list[str]:
        """What runs `command` on a host; the process that starts it becomes it."""
        return ["ip", "netns", "exec", self._namespace(host), *command]

    @contextlib.contextmanager
    def entered(self, host: str) -> Iterator[None]:
        """This thread is on `host`: what it connects is connected from there, and so it is for the
        threads and processes that it starts."""
        with _opened(Path("/proc/thread-self/ns/net")) as before:
            with _opened(Path("/run/netns") / self._namespace(host)) as namespace:
                _set_namespace(namespace)
            try:
                yield
            finally:
                _set_namespace(before)

    def drop(self, sender: str, receiver: str) -> None:
        """From now on nothing gets from `sender` to `receiver`; the other way it does."""
        route = ["route", "add", "blackhole", self.address(receiver)]
        _ip("-netns", self._namespace(sender), *route)

    def separate(self, some: Sequence[str], others: Sequence[str]) -> None:
        """From now on nothing gets from `some` to `others`, nor back."""
        for one in some:
            for other in others:
                self.drop(one, other)
                self.drop(other, one)

    def unplug(self, host: str) -> None:
        """From now on nothing gets from or to `host`."""
        _ip("-netns", self._switch, "link", "set", f"to-{host}", "down")

    def heal(self) -> None:
        """Everything gets everywhere again."""
        for host in self._hosts:
            _ip("-netns", self._switch, "link", "set", f"to-{host}", "up")
            _ip("-netns", self._namespace(host), "route", "flush", "type", "blackhole")

    @property
    def _switch(self) -> str:
        return f"{self._name}-switch"

    def _namespace(self, host: str) -> str:
        return f"{self._name}-{host}"

    def _build(self) -> None:
        _ip("netns", "add", self._switch)
        _ip("-netns", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-netns", self._switch, "link", "set", "bridge", "up")
        for host in self._hosts:
            namespace, port = self._namespace(host), f"to-{host}"
            _ip("netns", "add", namespace)
            pair = ["link", "add", port, "type", "veth", "peer", "name", "eth0"]
            _ip("-netns", self._switch, *pair, "netns", namespace)
            _ip("-netns", self._switch, "link", "set", port, "master", "bridge", "up")
            _ip("-netns", namespace, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-netns", namespace, "link", "set", device, "up")

    def _remove(self) -> None:
        for namespace in (*map(self._namespace, self._hosts), self._switch):
            if (Path("/run/netns") / namespace).exists():
                _ip("netns", "delete", namespace)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def _opened(namespace: Path) -> Iterator[int]:
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _set_namespace(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
