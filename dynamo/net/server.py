"""A node as a server: what zerorpc clients may call, and how a process becomes a node."""

import gc
import logging
import secrets
import signal
import time
from collections.abc import Callable
from typing import Any, TypeVar

import gevent
import zerorpc
from zmq.constants import MAXMSGSIZE
from zmq.error import ZMQError

from dynamo.config import ClusterConfig
from dynamo.disk.leveldb import LevelDisk
from dynamo.errors import NodeFailed, Unreachable
from dynamo.net import wire
from dynamo.net.failures import raise_failure
from dynamo.net.loop import NodeLoop
from dynamo.options import PutOptions
from dynamo.protocol.messages import Get, GetDone, GetRing, Message, Put, PutDone, RingDone
from dynamo.protocol.node import Node
from dynamo.protocol.settings import Settings
from dynamo.store import check_key, check_value
from dynamo.values.cluster import found
from dynamo.values.ring import Ring

log = logging.getLogger("dynamo.server")

PATIENCE_S = 2.0
"""How long a node that starts waits for its disk and its port to be given free."""

Result = TypeVar("Result")


class NodeService:
    """What a node answers on its port. zerorpc publishes every public method of this class.

    `exchange` is for our own clients and nodes. The plain calls are for any zerorpc client in any
    language: values are bytes (text is stored as UTF-8), a wrong argument is answered with an
    error that says what was wrong.
    """

    def __init__(self, loop: NodeLoop, timeout_s: float) -> None:
        self._loop = loop
        self._timeout_s = timeout_s

    def exchange(self, frame: bytes) -> bytearray:
        """One batch of envelopes there and back; see `dynamo.net.wire`."""
        return self._loop.exchange(frame)

    def put(self, key: str, value: bytes | str, ttl_s: float | None = None) -> dict[str, Any]:
        """Store `value` under `key`, replacing what was stored before it; for `ttl_s` seconds, if
        given."""
        data = value.encode() if isinstance(value, str) else value
        check_key(key)
        check_value(data)
        return self._write("put", key, data, PutOptions(ttl_s=ttl_s))

    def get(self, key: str) -> dict[str, Any]:
        """The values of `key`, newest first (none: not there; several: siblings)."""
        check_key(key)
        done = self._ask("get", key, lambda id: Get(id, key))
        assert isinstance(done, GetDone)
        return {"values": list(done.siblings.values), "nodes": list(done.nodes)}

    def delete(self, key: str) -> dict[str, Any]:
        """Delete `key`; no error if it is not there."""
        check_key(key)
        return self._write("delete", key, None, PutOptions())

    def locate(self, key: str) -> list[str]:
        """The names of the nodes on the key's preference list, the owner of its partition first."""
        check_key(key)
        done = self._ask("locate", key, GetRing)
        assert isinstance(done, RingDone)
        return list(Ring(done.owners, done.epoch).preference_list(key, done.n))

    def status(self) -> dict[str, Any]:
        """What this node says of itself."""
        return self._loop.status()

    def _write(
        self, operation: str, key: str, value: bytes | None, options: PutOptions
    ) -> dict[str, Any]:
        now = time.time()
        expires_at = options.expires_at(now)
        done = self._ask(
            operation, key, lambda id: Put(id, key, value, None, now, expires_at=expires_at)
        )
        assert isinstance(done, PutDone)
        return {"nodes": list(done.nodes)}

    def _ask(self, operation: str, key: str, make: Callable[[int], Message]) -> Message:
        reply = self._loop.ask(make, self._timeout_s + 1.0)
        if reply is None:
            raise Unreachable(f"{operation} of {key!r} had no answer after {self._timeout_s} s")
        return raise_failure(reply, operation, key)


def serve(config: ClusterConfig, name: str, ready: Callable[[], None]) -> None:
    """Run the node `name` of `config` in this process until SIGTERM or SIGINT.

    `ready` is called once the node answers calls. Raises `NodeFailed` if it can't: its port is
    taken, its disk can't be opened.
    """
    logging.getLogger("zerorpc").setLevel(logging.CRITICAL)  # it logs each error it passes on
    me = next(node for node in config.nodes if node.name == name)
    disk = _patiently(
        lambda: LevelDisk(me.data, fsync=config.fsync, reserve_bytes=config.reserve_mb << 20)
    )
    loop = NodeLoop(lambda reason: _node_of(config, name, disk, reason), disk)
    rpc = zerorpc.Server(NodeService(loop, config.timeout_s), heartbeat=None)
    rpc._events.setsockopt(MAXMSGSIZE, wire.REFUSED_BYTES + (1 << 20))
    _patiently(lambda: _listen(rpc, name, me.address))
    calls = gevent.spawn(rpc.run)
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, loop.stop)
    # What a request makes is freed by counting, as a rule; looking for cycles after each 700 new
    # objects costs an eighth of the puts.
    gc.set_threshold(100_000, 20, 20)
    log.info("node %s serves on %s", name, me.address)
    telling = gevent.spawn(_tell, loop, ready)
    try:
        loop.run()
    finally:
        telling.kill()
        calls.kill()
        loop.close()
        rpc.close()
        disk.close()


def _tell(loop: NodeLoop, ready: Callable[[], None]) -> None:
    """Say that the node answers; where that takes long, say why not."""
    if not loop.wait_until_settled(PATIENCE_S):
        others = ", ".join(name for name in loop.node.view.members if name != loop.node.name)
        log.warning(
            "node %s waits for %s: the first nodes of a cluster have to meet before one answers",
            loop.node.name,
            others,
        )
        loop.wait_until_settled()
    ready()


def _patiently(attempt: Callable[[], Result]) -> Result:
    """Try for a while: a node that was killed a moment ago may still hold its lock and its port."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return attempt()
        except NodeFailed:
            if time.monotonic() > deadline:
                raise
        gevent.sleep(0.05)


def _listen(rpc: zerorpc.Server, name: str, address: str) -> None:
    try:
        rpc.bind(f"tcp://{address}")
    except ZMQError as error:
        raise NodeFailed(
            f"node {name} can't listen on {address}: {error}; "
            "stop what uses the port, or give the node another address in cluster.ini"
        ) from error


def _node_of(config: ClusterConfig, name: str, disk: LevelDisk, read_only: str) -> Node:
    return Node(
        name,
        found(config.node_addresses, config.partitions, config.replicas),
        Settings(
            config.replicas,
            config.read_quorum,
            config.write_quorum,
            timeout_s=config.timeout_s,
            reap_after_s=config.reap_after_s,
        ),
        disk,
        incarnation=secrets.randbits(38),
        read_only=read_only,
        lost_records=disk.records_lost or disk.moved_aside is not None,
    )
