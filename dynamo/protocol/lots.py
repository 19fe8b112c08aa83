"""Puts and gets of a lot: many keys of one partition, which the same nodes hold, in one request.

A lot is counted, repeated, passed on and answered as one: one entry among the requests in flight
and one acknowledgement of each replica, where its keys would take hundreds.
"""

from collections.abc import Iterable

from dynamo.disk import record
from dynamo.disk.record import Copy
from dynamo.protocol.get import PendingGet
from dynamo.protocol.messages import (
    CopiesFetched,
    Envelope,
    FetchCopies,
    GetMany,
    GotMany,
    Put,
    PutMany,
    StoreCopies,
)
from dynamo.protocol.put import PendingPut
from dynamo.protocol.quorum import reconcile_lots
from dynamo.values.versions import Siblings, as_of, ephemeral, values_bytes


class PendingPutMany(PendingPut):
    """A `PutMany` on a node that holds its keys."""

    def _write(self) -> None:
        put: PutMany = self._put  # type: ignore[assignment]
        puts = [_single(put, key, value) for key, value in put.items]
        copies = list(zip((put.key for put in puts), self._replica.write_many(puts)))
        self._lasting = not any(ephemeral(siblings) for _, siblings in copies)
        self._records = _records(copies)

    def _copy_for(self, node: str, hint_for: str) -> Envelope:
        copies = StoreCopies(
            self._talk.id, self._records, self._put.durable, hint_for, self._lasting
        )
        return self._talk.ask(node, copies)


class PendingGetMany(PendingGet):
    """A `GetMany` on a node that holds its keys."""

    _get: GetMany
    _merge = staticmethod(reconcile_lots)
    _fetched = CopiesFetched
    _size_of = staticmethod(lambda found: sum(map(values_bytes, found)))
    _done = GotMany

    @staticmethod
    def _as_of(lot: tuple[Siblings, ...], wall: float) -> tuple[Siblings, ...]:
        return tuple([as_of(siblings, wall) for siblings in lot])

    def _read_here(self) -> tuple[Siblings, ...] | None:
        return self._replica.read_many(self._get.keys)

    def _fetch(self) -> FetchCopies:
        return FetchCopies(self._talk.id, self._get.keys)

    def _repair_here(self, merged: tuple[Siblings, ...]) -> None:
        for key, siblings in self._stale(self._talk.me, merged):
            self._replica.merge(key, siblings, durable=True)

    def _repair_of(self, node: str, merged: tuple[Siblings, ...]) -> StoreCopies:
        return StoreCopies(self._talk.id, _records(self._stale(node, merged)))

    def _stale(self, node: str, merged: tuple[Siblings, ...]) -> Iterable[tuple[str, Siblings]]:
        """The keys of which `node` holds less than all know together, and what they know."""
        held = self._quorum.copy_of(node) or ()
        return [(k, new) for k, old, new in zip(self._get.keys, held, merged) if old != new]


def _single(put: PutMany, key: str, value: bytes | None) -> Put:
    at, durable, expires_at = put.written_at, put.durable, put.expires_at
    return Put(
        put.id, key, value, None, at, 0, 0, 0.0, durable, expires_at, ephemeral=put.ephemeral
    )


def _records(copies: Iterable[tuple[str, Siblings]]) -> tuple[tuple[str, bytes], ...]:
    """Copies as other nodes are sent them, and can put them on their disks: without a life."""
    return tuple([(key, record.encode(Copy("", siblings))) for key, siblings in copies])
