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

from dynamo.errors import DynamoError, RequestError, Unreachable
from dynamo.net.calls import Call, Operation, Outcome
from dynamo.net.hub import HubThread
from dynamo.net.lots import Lot, SizeBytes, cut, rounds, singly
from dynamo.net.outcomes import (
    Tally,
    if_all_failed,
    only,
    only_reading,
    only_written,
    readings,
    unchanged,
    written,
)
from dynamo.net.router import Router
from dynamo.net.status import StatusByAddress, gather_status
from dynamo.options import PutOptions, Resolver, check_resolver
from dynamo.protocol.messages import (
    ClientRequest,
    Condition,
    Get,
    GetMany,
    GetRing,
    KeysListed,
    ListKeys,
    Message,
    Put,
    PutMany,
)
from dynamo.store import Reading, Written, check_key, check_value, resolved
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
    a process, it is to be used in that process: a forked child makes its own. A process without
    network reaches the nodes by the sockets that a `dynamo.net.relay.Relay` has in folder `relay`.

        with Client(["127.0.0.1:7401"]) as store:
            store.put("colour", b"green")
    """

    def __init__(
        self,
        addresses: Sequence[str],
        *,
        prefer: str | None = None,
        timeout_s: float = 10.0,
        relay: str = "",
    ) -> None:
        if not addresses:
            raise RequestError("a client needs the address of at least one node, as host:port")
        self._addresses = tuple(addresses)
        self._timeout_s = timeout_s
        self._ids = count(1)
        self._pid = os.getpid()
        self._context = zerorpc.Context()
        self._hub = HubThread("dynamo-client")
        self._start_router(prefer, relay)

    def _start_router(self, prefer: str | None, relay: str) -> None:
        """Make the router in the hub, where its greenlets belong."""
        made: Future[Router] = Future()
        me = f"client-{uuid4().hex}"
        self._hub.post(
            lambda: made.set_result(Router(me, self._addresses, prefer, self._context, relay))
        )
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
        """End the background thread; calls that still wait end with `Unreachable` at once, and so
        do later ones."""
        if self._hub.post(self._router.close):
            self._hub.close()
            self._context.destroy(linger=0)

    def get(
        self,
        key: str,
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> Reading:
        return self.multi_get([key], n=n, r=r, timeout_s=timeout_s, resolver=resolver)[key]

    def put(
        self,
        key: str,
        value: bytes,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool | None = None,
        ttl_s: float | None = None,
        ephemeral: bool = False,
        if_absent: bool = False,
        if_context: Context | None = None,
    ) -> Written:
        check_value(value)
        options = PutOptions(
            context, n, w, timeout_s, durable, ttl_s, ephemeral, if_absent, if_context
        )
        return self._write({key: value}, options)[key]

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
        return self._write({key: None}, PutOptions(context, n, w, timeout_s, durable))[key]

    def multi_get(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> dict[str, Reading]:
        check_resolver(resolver)
        keys = list(dict.fromkeys(keys))
        for key in keys:
            check_key(key)
        tally: Tally[Reading] = Tally("get")

        def request(lot: Lot) -> ClientRequest:
            id, quorum = next(self._ids), (n or 0, r or 0)
            return Get(id, lot[0], *quorum) if len(lot) == 1 else GetMany(id, tuple(lot), *quorum)

        missing = keys
        while missing:  # an answer that is full leaves the last keys of its lot to be asked again
            lots = singly(self._cut("get", missing, _unknown_size, timeout_s))
            for lot, outcome in self._in_rounds("get", lots, _unknown_size, request, timeout_s):
                if isinstance(outcome, DynamoError):
                    tally.fail(lot, outcome)
                else:
                    tally.done.update(zip(lot, readings(outcome)))
            missing = [key for key in missing if key not in tally.done and key not in tally.failed]
        return {key: resolved(found, resolver) for key, found in tally.result(keys).items()}

    def multi_put(
        self,
        items: Mapping[str, bytes],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool | None = None,
        ttl_s: float | None = None,
        ephemeral: bool = False,
    ) -> dict[str, Written]:
        for value in items.values():
            check_value(value)
        return self._write(items, PutOptions(None, n, w, timeout_s, durable, ttl_s, ephemeral))

    def multi_delete(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool = True,
    ) -> dict[str, Written]:
        return self._write(dict.fromkeys(keys), PutOptions(None, n, w, timeout_s, durable))

    def list(
        self,
        prefix: str,
        *,
        after: str = "",
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[str]:
        while True:
            request = ListKeys(next(self._ids), prefix, after, PAGE_KEYS, n or 0, r or 0)
            page = cast(KeysListed, self._ask("list", prefix, request, timeout_s))
            yield from page.keys
            after = page.after
            if not after:
                return

    def locate(
        self, key: str, *, n: int | None = None, timeout_s: float | None = None
    ) -> tuple[str, ...]:
        check_key(key)
        ring, default_n = self._known_ring("locate", key, timeout_s)
        return ring.preference_list(key, n or default_n)

    def status(self, timeout_s: float = 2.0) -> StatusByAddress:
        """What each node this client was given says of itself, by address; a text says why not."""
        future: Future[StatusByAddress] = Future()
        self._post(
            lambda: gevent.spawn(gather_status, self._addresses, timeout_s, self._context, future)
        )
        return future.result()

    def put_async(
        self,
        key: str,
        value: bytes,
        *,
        context: Context | None = None,
        n: int | None = None,
        w: int | None = None,
        timeout_s: float | None = None,
        durable: bool | None = None,
        ttl_s: float | None = None,
        ephemeral: bool = False,
        if_absent: bool = False,
        if_context: Context | None = None,
    ) -> "Future[Written]":
        """Begin a put; the future gives what `put` would return or raise.

        For programs with hundreds of operations under way that don't want a thread for each. The
        future ends by its timeout. Its callbacks run in the client's thread and must not block;
        `asyncio.wrap_future` makes it one to await.
        """
        check_key(key)
        check_value(value)
        options = PutOptions(
            context, n, w, timeout_s, durable, ttl_s, ephemeral, if_absent, if_context
        )
        request = self._put_of(key, value, options, time.time())
        return self._begin("put", [(key, request)], timeout_s, only_written)

    def get_async(
        self,
        key: str,
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> "Future[Reading]":
        """Begin a get; see `put_async`."""
        check_key(key)
        request = Get(next(self._ids), key, n or 0, r or 0)
        return self._begin("get", [(key, request)], timeout_s, only_reading)

    def _write(self, items: Mapping[str, bytes | None], options: PutOptions) -> dict[str, Written]:
        for key in items:
            check_key(key)
        operation = "delete" if None in items.values() else "put"
        now = time.time()

        def size_bytes(key: str) -> int:
            return len(items[key] or b"")

        def request(lot: Lot) -> ClientRequest:
            if len(lot) == 1:
                return self._put_of(lot[0], items[lot[0]], options, now)
            return PutMany(
                next(self._ids),
                tuple([(key, items[key]) for key in lot]),
                now,
                options.n or 0,
                options.w or 0,
                durable=options.fsync,
                expires_at=options.expires_at(now),
                ephemeral=options.ephemeral,
            )

        tally: Tally[Written] = Tally(operation)
        lots = self._cut(operation, list(items), size_bytes, options.timeout_s)
        for lot, outcome in self._in_rounds(
            operation, lots, size_bytes, request, options.timeout_s
        ):
            if isinstance(outcome, DynamoError):
                tally.fail(lot, outcome)
            else:
                tally.done.update(dict.fromkeys(lot, written(outcome)))
        return tally.result(items)

    def _put_of(self, key: str, value: bytes | None, options: PutOptions, now: float) -> Put:
        return Put(
            next(self._ids),
            key,
            value,
            options.seen,
            now,
            options.n or 0,
            options.w or 0,
            durable=options.fsync,
            expires_at=options.expires_at(now),
            ephemeral=options.ephemeral,
            condition=_condition(options),
        )

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
    ) -> Iterator[tuple[Lot, Outcome]]:
        """Send a request for each lot, some rounds at a time, and tell what became of each.

        Once a whole round has failed nothing more is sent: its error stands for all the rest.
        """
        under_way: deque[tuple[Sequence[Lot], Future[Sequence[Outcome]]]] = deque()
        given_up: DynamoError | None = None
        for some in rounds(lots, size_bytes):
            if len(under_way) == UNDER_WAY:
                sent, future = under_way.popleft()
                outcomes = future.result()
                yield from zip(sent, outcomes)
                given_up = given_up or if_all_failed(outcomes)
            if given_up:
                yield from ((lot, given_up) for lot in some)
                continue
            requests = [(lot[0], request(lot)) for lot in some]
            under_way.append((some, self._begin(name, requests, timeout_s, unchanged)))
        for sent, future in under_way:
            yield from zip(sent, future.result())

    def _known_ring(self, name: str, key: str, timeout_s: float | None) -> tuple[Ring, int]:
        """The ring as it is known now, and the cluster's n."""
        if self._router.known is None:  # any answer will do: the router needs the ring to ask
            self._ask(name, key, GetRing(next(self._ids)), timeout_s)
        assert self._router.known
        return self._router.known

    def _ask(self, name: str, key: str, request: ClientRequest, timeout_s: float | None) -> Message:
        return self._begin(name, [(key, request)], timeout_s, only).result()

    def _begin(
        self,
        name: str,
        requests: Sequence[tuple[str, ClientRequest]],
        timeout_s: float | None,
        finish: Callable[[Sequence[Outcome]], Result],
    ) -> "Future[Result]":
        """Hand requests to the hub, which sees to it that the future ends by its deadline."""
        if os.getpid() != self._pid:
            raise RequestError("this Client was made before a fork; make a new one in this process")
        limit_s = timeout_s or self._timeout_s
        operations = [Operation(name, key, request, limit_s) for key, request in requests]
        call = Call(operations, finish)
        self._post(partial(self._router.dispatch, call))
        return call.future

    def _post(self, function: Callable[[], object]) -> None:
        if not self._hub.post(function):
            raise Unreachable("this client is closed: make a new one")


def _condition(options: PutOptions) -> Condition:
    if options.if_absent:
        return Condition.ABSENT
    return Condition.NONE if options.if_context is None else Condition.UNCHANGED


def _unknown_size(key: str) -> int:
    return 0
