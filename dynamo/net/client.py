"""The store of a running cluster, for programs with any number of threads.

A background thread runs the sockets. Whatever the program's threads ask for while an earlier call
to a node is under way travels in the next one, so a hundred threads cost little more than one.
Each key's requests go to a node that holds it (to the one beside this process, if `prefer` names
it and it does), and to the next one if that one does not answer.
"""

import os
import time
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
from dynamo.net.router import Router
from dynamo.net.status import StatusByAddress, gather_status
from dynamo.protocol.messages import (
    ClientRequest,
    Get,
    GetDone,
    GetRing,
    KeysListed,
    ListKeys,
    Message,
    Put,
    PutDone,
    RingDone,
)
from dynamo.store import Reading, Written, check_key, check_value
from dynamo.values.ring import Ring
from dynamo.values.versions import Context

PAGE_KEYS = 1000
"""Keys asked for at once by a listing."""
ROUND_OPERATIONS = 5_000
ROUND_BYTES = 32 << 20
"""A batch call goes out in rounds of at most so many operations and bytes of values."""

Item = TypeVar("Item")
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
        for some in _rounds(keys, lambda key: 0):
            requests = [(key, Get(next(self._ids), key, n or 0, r or 0)) for key in some]
            replies = self._run("get", requests, timeout_s)
            found.update(zip(some, map(_reading, replies)))
        return found

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
        if self._ring is None:
            (reply,) = self._run("locate", [(key, GetRing(next(self._ids)))], None)
            done = cast(RingDone, reply)
            self._ring = Ring(done.owners, done.epoch), done.n
        ring, default_n = self._ring
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

        def put(key: str) -> Put:
            value, id = items[key], next(self._ids)
            return Put(id, key, value, context, now, n or 0, w or 0, durable=durable)

        done: dict[str, Written] = {}
        for some in _rounds(list(items), lambda key: len(items[key] or b"")):
            replies = self._run(operation, [(key, put(key)) for key in some], timeout_s)
            done.update(zip(some, map(_written, replies)))
        return done

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


def _written(reply: Message) -> Written:
    return Written(cast(PutDone, reply).nodes)


def _rounds(items: Sequence[Item], size_bytes: Callable[[Item], int]) -> Iterator[Sequence[Item]]:
    """Cut a batch into rounds that a link's queue has room for."""
    some: list[Item] = []
    some_bytes = 0
    for item in items:
        size = size_bytes(item)
        if some and (len(some) >= ROUND_OPERATIONS or some_bytes + size > ROUND_BYTES):
            yield some
            some, some_bytes = [], 0
        some.append(item)
        some_bytes += size
    if some:
        yield some
