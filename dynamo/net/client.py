"""The store of a running cluster, for programs with any number of threads.

A background thread runs the sockets. Whatever the program's threads ask for while an earlier call
to a node is under way travels in the next one, so a hundred threads cost little more than one.
Each key's requests go to a node that holds it (to the one beside this process, if `prefer` names
it and it does), and to the next one if that one does not answer.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import count
from types import TracebackType
from typing import TypeVar, cast
from uuid import uuid4

import gevent
import zerorpc

from dynamo.errors import RequestError
from dynamo.net.calls import Call, Operation
from dynamo.net.hub import HubThread
from dynamo.net.lots import Lot, SizeBytes, cut, rounds, singly
from dynamo.net.router import Router
from dynamo.net.status import StatusByAddress, gather_status
from dynamo.protocol.messages import (
    ClientRequest,
    Get,
    GetDone,
    GetMany,
    GetRing,
    GotMany,
    KeysListed,
    ListKeys,
    Message,
    Put,
    PutDone,
    PutMany,
    RingDone,
)
from dynamo.store import Reading, Written, check_key, check_value
from dynamo.values.ring import Ring
from dynamo.values.versions import Context

PAGE_KEYS = 1000
"""Keys asked for at once by a listing."""
UNDER_WAY = 2
"""Rounds of one batch call on their way at a time."""

Result = TypeVar("Result")


class Client:
    """A `dynamo.store.Store` over the cluster that the nodes at `addresses` belong to.

    `addresses` are "host:port" of some or all nodes; the first that answers tells the ring. Made in
    a process, it is to be used in that process: a forked child makes its own.

        with Client(["127.0.0.1:7401"]) as store:
            store.put("colour", b"green")
    """

    def __init__(
        self, addresses: Sequence[str], *, prefer: str | None = None, timeout_s: float = 10.0
    ) -> None:
        if not addresses:
            raise RequestError("a client needs the address of at least one node, as host:port")
        self._addresses = tuple(addresses)
        self._timeout_s = timeout_s
        self._ids = count(1)
        self._pid = os.getpid()
        self._ring: tuple[Ring, int] | None = None
        self._context = zerorpc.Context()
        self._hub = HubThread("dynamo-client")
        self._start_router(prefer)

    def _start_router(self, prefer: str | None) -> None:
        """Make the router in the hub, where its greenlets belong."""
        made: Future[Router] = Future()
        me = f"client-{uuid4().hex}"
        self._hub.post(lambda: made.set_result(Router(me, self._addresses, prefer, self._context)))
        self._router = made.result()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the background thread; calls that still wait end with `Unreachable` at once."""
        self._hub.post(self._router.close)
        self._hub.close()
        self._context.destroy(linger=0)

    def get(
        self,
        key: str,
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> Reading:
        return self.multi_get([key], n=n, r=r, timeout_s=timeout_s)[key]

    def put(
        self,
        key: str,
        value: bytes,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> Written:
        check_value(value)
        return self._write({key: value}, context, n, w, timeout_s, durable)[key]

    def delete(
        self,
        key: str,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> Written:
        return self._write({key: None}, context, n, w, timeout_s, durable)[key]

    def multi_get(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Reading]:
        keys = list(dict.fromkeys(keys))
        for key in keys:
            check_key(key)
        found: dict[str, Reading] = {}

        def request(lot: Lot) -> ClientRequest:
            id, quorum = next(self._ids), (n or 0, r or 0)
            return Get(id, lot[0], *quorum) if len(lot) == 1 else GetMany(id, tuple(lot), *quorum)

        missing = keys
        while missing:  # an answer that is full leaves the last keys of its lot to be asked again
            lots = singly(self._cut("get", missing, _unknown_size, timeout_s))
            for lot, reply in self._in_rounds("get", lots, _unknown_size, request, timeout_s):
                found.update(zip(lot, _readings(reply)))
            missing = [key for key in missing if key not in found]
        return {key: found[key] for key in keys}

    def multi_put(
        self,
        items: Mapping[str, bytes],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> dict[str, Written]:
        for value in items.values():
            check_value(value)
        return self._write(items, None, n, w, timeout_s, durable)

    def multi_delete(
        self, keys: Iterable[str], *, timeout_s: float | None = None, durable: bool = True
    ) -> dict[str, Written]:
        return self._write(dict.fromkeys(keys), None, None, None, timeout_s, durable)

    def list(
        self, prefix: str, *, after: str = "", timeout_s: float | None = None
    ) -> Iterator[str]:
        while True:
            request = ListKeys(next(self._ids), prefix, after, PAGE_KEYS)
            (reply,) = self._run("list", [(prefix, request)], timeout_s)
            page = cast(KeysListed, reply)
            yield from page.keys
            after = page.after
            if not after:
                return

    def locate(self, key: str, *, n: int | None = None) -> tuple[str, ...]:
        check_key(key)
        ring, default_n = self._known_ring("locate", key, None)
        return ring.preference_list(key, n or default_n)

    def status(self, timeout_s: float = 2.0) -> StatusByAddress:
        """What each node this client was given says of itself, by address; a text says why not."""
        future: Future[StatusByAddress] = Future()
        self._hub.post(
            lambda: gevent.spawn(gather_status, self._addresses, timeout_s, self._context, future)
        )
        return future.result()

    def put_async(
        self, key: str, value: bytes, *, context: Context | None = None, durable: bool = True
    ) -> "Future[Written]":
        """Begin a put; the future gives what `put` would return or raise.

        For programs with hundreds of operations under way that don't want a thread for each. The
        future ends by the client's timeout. Its callbacks run in the client's thread and must not
        block; `asyncio.wrap_future` makes it one to await.
        """
        check_key(key)
        check_value(value)
        request = Put(next(self._ids), key, value, context, time.time(), durable=durable)
        return self._begin("put", [(key, request)], self._timeout_s, _first_written)

    def get_async(self, key: str, *, r: int | None = None) -> "Future[Reading]":
        """Begin a get; see `put_async`."""
        check_key(key)
        request = Get(next(self._ids), key, r=r or 0)
        return self._begin("get", [(key, request)], self._timeout_s, _first_reading)

    def _write(
        self,
        items: Mapping[str, bytes | None],
        context: Context | None,
        n: int | None,
        w: int | None,
        timeout_s: float | None,
        durable: bool,
    ) -> dict[str, Written]:
        for key in items:
            check_key(key)
        operation = "delete" if None in items.values() else "put"
        now = time.time()

        def size_bytes(key: str) -> int:
            return len(items[key] or b"")

        def request(lot: Lot) -> ClientRequest:
            id, quorum = next(self._ids), (n or 0, w or 0)
            if len(lot) == 1:
                return Put(id, lot[0], items[lot[0]], context, now, *quorum, durable=durable)
            pairs = tuple([(key, items[key]) for key in lot])
            return PutMany(id, pairs, now, *quorum, durable=durable)

        done: dict[str, Written] = {}
        lots = self._cut(operation, list(items), size_bytes, timeout_s)
        for lot, reply in self._in_rounds(operation, lots, size_bytes, request, timeout_s):
            done.update(dict.fromkeys(lot, _written(reply)))
        return {key: done[key] for key in items}

    def _cut(
        self, name: str, keys: Sequence[str], size_bytes: SizeBytes, timeout_s: float | None
    ) -> Iterable[Lot]:
        """Keys in lots; one key alone is one, and is not held up by asking for the ring."""
        if len(keys) <= 1:
            return [keys] if keys else []
        return cut(keys, self._known_ring(name, keys[0], timeout_s)[0], size_bytes)

    def _in_rounds(
        self,
        name: str,
        lots: Iterable[Lot],
        size_bytes: SizeBytes,
        request: Callable[[Lot], ClientRequest],
        timeout_s: float | None,
    ) -> Iterator[tuple[Lot, Message]]:
        """Send a request for each lot, some rounds at a time, and give each lot with its reply."""
        under_way: deque[tuple[Sequence[Lot], Future[Sequence[Message]]]] = deque()
        for some in rounds(lots, size_bytes):
            if len(under_way) == UNDER_WAY:
                sent, future = under_way.popleft()
                yield from zip(sent, future.result())
            requests = [(lot[0], request(lot)) for lot in some]
            future = self._begin(name, requests, timeout_s or self._timeout_s, _unchanged)
            under_way.append((some, future))
        for sent, future in under_way:
            yield from zip(sent, future.result())

    def _known_ring(self, name: str, key: str, timeout_s: float | None) -> tuple[Ring, int]:
        """The ring and the cluster's n, asked for once."""
        if self._ring is None:
            (reply,) = self._run(name, [(key, GetRing(next(self._ids)))], timeout_s)
            done = cast(RingDone, reply)
            self._ring = Ring(done.owners, done.epoch), done.n
        return self._ring

    def _begin(
        self,
        name: str,
        requests: Sequence[tuple[str, ClientRequest]],
        timeout_s: float,
        finish: Callable[[Sequence[Message]], Result],
    ) -> "Future[Result]":
        """Hand requests to the hub, which sees to it that the future ends by its deadline."""
        if os.getpid() != self._pid:
            raise RequestError("this Client was made before a fork; make a new one in this process")
        operations = [Operation(name, key, request, timeout_s) for key, request in requests]
        call = Call(operations, finish)
        self._hub.post(partial(self._router.dispatch, call))
        return call.future

    def _run(
        self, name: str, requests: Sequence[tuple[str, ClientRequest]], timeout_s: float | None
    ) -> Sequence[Message]:
        """Send requests, wait for all their replies, give them in order or raise an error."""
        return self._begin(name, requests, timeout_s or self._timeout_s, _unchanged).result()


def _unchanged(replies: Sequence[Message]) -> Sequence[Message]:
    return replies


def _first_reading(replies: Sequence[Message]) -> Reading:
    return _reading(replies[0])


def _first_written(replies: Sequence[Message]) -> Written:
    return _written(replies[0])


def _reading(reply: Message) -> Reading:
    done = cast(GetDone, reply)
    return Reading(done.siblings.values, done.siblings.context, done.nodes)


def _readings(reply: Message) -> Iterable[Reading]:
    if isinstance(reply, GetDone):
        return [_reading(reply)]
    done = cast(GotMany, reply)
    return [Reading(copy.values, copy.context, done.nodes) for copy in done.siblings]


def _unknown_size(key: str) -> int:
    return 0


def _written(reply: Message) -> Written:
    return Written(cast(PutDone, reply).nodes)
