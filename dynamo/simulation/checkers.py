"""What must hold for every history, whatever went wrong meanwhile.

What a reading accounts for is in `writes`; what there is to say of times to live and of conditions
in `lifetimes` and `conditions`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from dynamo.protocol.messages import Condition
from dynamo.simulation.history import History, Operation
from dynamo.simulation.writes import Violation, Writes
from dynamo.values.cluster import Cluster, Phase
from dynamo.values.versions import Siblings, Version, seen


def check(
    history: History,
    owners: Mapping[str, Sequence[str]],
    copies: Mapping[str, Mapping[str, Siblings]],
    w: int,
    reap_after_s: float = math.inf,
) -> list[Violation]:
    """All that is wrong with a run. `owners` are those of each key, `copies` what their disks kept
    at the end, by key and owner; `reap_after_s` is how old a tombstone is before it is reaped."""
    found: list[Violation] = []
    keys = list(owners)
    for key in keys:
        writes = Writes(key, history, reap_after_s)
        gets = [op for op in history.of_kind("get") if op.key == key and op.succeeded]
        found += invented_values(key, writes, gets, copies[key])
        found += lost_writes(key, writes, gets, owners[key], w)
        found += resurrected(key, writes, gets, owners[key], w)
        found += false_siblings(key, writes, gets)
        found += differing_copies(key, copies[key])
    found += wrong_lists(history, owners, w)
    found += quiet_failures(history)
    return found


def invented_values(
    key: str, writes: Writes, gets: Iterable[Operation], copies: Mapping[str, Siblings]
) -> Iterator[Violation]:
    """Every version is a write somebody made, and no two writes ever have the same dot."""
    holders = [(str(get), get.siblings) for get in gets] + [
        (f"the disk of {node}", siblings) for node, siblings in copies.items()
    ]
    dots: dict[tuple[str, int], Version] = {}
    for holder, siblings in holders:
        for version in siblings.versions if siblings else ():
            place = writes.number.get(version.written_at)
            if place is None or not _is_as_written(version, writes.all[place]):
                yield Violation("invented value", key, f"{holder} has {version}, never written")
            if not _are_one(dots.setdefault(version.dot, version), version):
                other = dots[version.dot]
                text = f"{holder} has {version} under the dot of {other}"
                yield Violation("dot used twice", key, text)


def _is_as_written(version: Version, op: Operation) -> bool:
    """True if `op` wrote this, as far as a reading tells: an expired value is shown as None."""
    if version.value is None and version.expires_at:
        return version.expires_at >= op.expires_at
    return (version.value, version.expires_at) == (op.value, op.expires_at)


def _are_one(one: Version, other: Version) -> bool:
    if one.expires_at and None in (one.value, other.value):
        other = other._replace(value=one.value)
    return one == other


def lost_writes(
    key: str, writes: Writes, gets: Iterable[Operation], owners: Sequence[str], w: int
) -> Iterator[Violation]:
    """A get that began after a write was acknowledged accounts for that write.

    One that only substitutes made up the quorum of is sure to be seen when they have delivered it:
    by the reader at the quiet end.
    """
    acknowledged = [
        (number, op, strict(op, owners, w)) for number, op in enumerate(writes.all) if op.succeeded
    ]
    for get in gets:
        missing = ~writes.accounted(get)
        for number, op, sure in acknowledged:
            surely = sure or get.client == "reader"
            if missing >> number & 1 and surely and _before(op, get):
                text = f"{op} was acknowledged, {get} knows nothing of it: {shown(get)}"
                yield Violation("lost write", key, text)


def resurrected(
    key: str, writes: Writes, gets: Iterable[Operation], owners: Sequence[str], w: int
) -> Iterator[Violation]:
    """A get that began after a delete was acknowledged shows nothing that it deleted; nor, however
    long ago it expired, what a value with a time to live replaced."""
    deletes = [
        (number, op, strict(op, owners, w))
        for number, op in enumerate(writes.all)
        if (op.kind == "delete" or op.expires_at)
        and op.condition is not Condition.ABSENT
        and op.succeeded
    ]
    for get in gets:
        lost = writes.may_be_lost(get.ended_at or 0.0)
        for number, op, sure in deletes:
            surely = sure or get.client == "reader"
            if not surely or not _before(op, get) or lost >> number & 1:
                continue
            for version in get.siblings.versions if get.siblings else ():
                # A tombstone may come back from an owner that missed the order to drop it.
                if version.value is not None and _deleted(version, number, get, writes, owners):
                    text = f"{get} shows {version}, which {op} had deleted or replaced"
                    yield Violation("resurrected", key, text)


def _deleted(
    version: Version, number: int, get: Operation, writes: Writes, owners: Sequence[str]
) -> bool:
    """True if the delete surely replaced this version.

    Of ephemeral data it need not be known any longer than what it replaced would have lived.

    One with a context replaced what that had seen; a blind one what its coordinator held, which is
    sure of what all owners, by any table of those days, had stored. See `false_siblings` about what
    was delivered twice.
    """
    place, delete = writes.number.get(version.written_at), writes.all[number]
    if place is None:
        return False
    once = writes.delivered[place] == 1
    put, ended_at = writes.all[place], get.ended_at or math.inf
    if put.ephemeral and writes.may_have_expired(put, delete.began_at, ended_at):
        return False
    if delete.context is not None:
        known = writes.ancestors[number] >> place & 1 == 1
        return known and (once or seen(delete.context, version.dot))
    holders = {*owners, *chain(*put.lists, *delete.lists)}
    everywhere = put.succeeded and put.durable and holders <= set(put.nodes)
    return everywhere and once and _before(put, delete) and put.written_at < delete.written_at


def strict(op: Operation, owners: Sequence[str], w: int) -> bool:
    """True if owners alone made up the quorum of an acknowledged write, in whoever's view."""
    lists = op.lists or (owners,)
    return all(sum(node in owners for node in op.nodes) >= min(w, len(owners)) for owners in lists)


def _before(op: Operation, other: Operation) -> bool:
    return op.ended_at is not None and op.ended_at < other.began_at


def thin_writes(
    history: History,
    rested: Mapping[str, Mapping[str, Siblings]],
    w: int,
    reap_after_s: float = math.inf,
) -> Iterator[Violation]:
    """Once all is at rest, and before anybody reads, w owners know of every acknowledged write.

    `rested` is what the owners' disks hold then, by key and owner.
    """
    for key, copies in rested.items():
        writes = Writes(key, history, reap_after_s)
        known = [writes.accounted(_as_reading(copy)) for copy in copies.values()]
        for number, op in enumerate(writes.all):
            owners = sum(mask >> number & 1 for mask in known)
            if op.succeeded and op.durable and owners < min(w, len(copies)):
                text = f"{op} was acknowledged by {', '.join(op.nodes)}, {owners} owners know of it"
                yield Violation("thin write", key, text)


def _as_reading(copy: Siblings) -> Operation:
    return Operation("get", siblings=copy, ended_at=math.inf)


def forgotten_hints(kept: Mapping[str, Sequence[bytes]]) -> list[Violation]:
    """At the end every hinted copy has been delivered; `kept` is what the disks still hold."""
    return [
        Violation("forgotten hint", "", f"{node} still keeps {hint!r}")
        for node, hints in kept.items()
        for hint in hints
    ]


def misplaced_copies(
    kept: Mapping[str, Sequence[str]], owners: Mapping[str, Sequence[str]]
) -> Iterator[Violation]:
    """At the end nobody but its owners keeps a copy of a key; `kept` is the keys on each disk."""
    for node, keys in kept.items():
        for key in keys:
            if node not in owners[key]:
                text = f"{node} keeps a copy that belongs to {', '.join(owners[key])}"
                yield Violation("misplaced copy", key, text)


def unfinished_changes(cluster: Cluster) -> Iterator[Violation]:
    """At the end every change of the ring is done, and all members know."""
    table = cluster.table
    seen = {name for name, said in cluster.seen.items() if said.rank == table.rank}
    unaware = [name for name in table.members if name not in seen]
    if table.phase is not Phase.STABLE or table.leaving or table.dead or unaware:
        text = f"{table.phase} at {table.rank}, leaving {table.leaving}, dead {table.dead}"
        yield Violation("unfinished change", "", f"{text}, not seen by {unaware}")


def false_siblings(key: str, writes: Writes, gets: Iterable[Operation]) -> Iterator[Violation]:
    """Versions that a get returns together were written by writers that did not know each other.

    A write that reached its coordinators twice (the client or a relay asked again, the network
    doubled it) is written twice, each time with its old context: the second may rightly stand
    beside what has replaced the first. So siblings never exceed the deliveries that really ran at
    once.
    """
    for get in gets:
        assert get.siblings is not None
        versions = [
            v
            for v in get.siblings.versions
            if v.written_at in writes.number and not _stands_guard(v, writes)
        ]
        for version in versions:
            place = writes.number[version.written_at]
            times = sum(other.written_at == version.written_at for other in versions)
            delivered = writes.delivered[place]
            if times > delivered:
                text = f"{get} shows {version} {times} times, it was delivered {delivered} times"
                yield Violation("false sibling", key, text)
            for other in versions:
                later = writes.number[other.written_at]
                if not writes.ancestors[later] >> place & 1:
                    continue
                if delivered == 1 or seen(writes.all[later].context or {}, version.dot):
                    text = f"{get} shows {version} beside {other}, whose writer had seen it"
                    yield Violation("false sibling", key, text)


def _stands_guard(version: Version, writes: Writes) -> bool:
    """True for the tombstone that an ephemeral value has beside it, if what it replaced would have
    lived longer."""
    put = writes.all[writes.number[version.written_at]]
    return put.kind == "put" and version.value is None and version.expires_at > put.expires_at


def differing_copies(
    key: str, copies: Mapping[str, Siblings], rule: str = "differing copies"
) -> Iterator[Violation]:
    """At the end all replicas hold the same."""
    first = next(iter(copies.values()))
    if any(copy != first for copy in copies.values()):
        text = "; ".join(f"{node} holds {copy}" for node, copy in copies.items())
        yield Violation(rule, key, text)


def not_converged(rested: Mapping[str, Mapping[str, Siblings]]) -> Iterator[Violation]:
    """All replicas hold the same though nobody has read, a while after the last fault.

    `rested` is what the owners' disks hold then, by key and owner.
    """
    for key, copies in rested.items():
        yield from differing_copies(key, copies, "not converged")


def wrong_lists(
    history: History, owners: Mapping[str, Sequence[str]], w: int
) -> Iterator[Violation]:
    """Lists are in order and miss no key that is surely there; in the quiet end they are exact."""
    keys = list(owners)
    quiet = {op.key: op.siblings for op in history.of_kind("get") if op.client == "reader"}
    live = [key for key in sorted(keys) if (copy := quiet.get(key)) is not None and copy.values]
    sure = _never_deleted(history, owners, w)
    for op in history.of_kind("list"):
        if not op.succeeded:
            continue
        if op.listed != sorted(set(op.listed)):
            yield Violation("wrong list", op.key, f"{op} is out of order: {op.listed}")
        missing = [key for key, since in sure.items() if since < op.began_at]
        if not set(missing) <= set(op.listed) <= set(keys):
            yield Violation("wrong list", op.key, f"{op} lists {op.listed}, but not all {missing}")
        if op.client == "reader" and op.listed != live:
            yield Violation("wrong list", op.key, f"{op} lists {op.listed}, but gets find {live}")


def _never_deleted(
    history: History, owners: Mapping[str, Sequence[str]], w: int
) -> dict[str, float]:
    """Keys that all writers wrote durably and none deleted -> the first acknowledgement."""
    unsure = {
        op.key
        for op in history.of_kind("put", "delete")
        if op.kind == "delete" or op.ttl_s or not op.durable
    }
    since: dict[str, float] = {}
    for op in history.of_kind("put"):
        acknowledged = op.succeeded and strict(op, owners[op.key], w)
        if acknowledged and op.ended_at is not None and op.key not in unsure:
            since[op.key] = min(op.ended_at, since.get(op.key, op.ended_at))
    return since


def quiet_failures(history: History) -> Iterator[Violation]:
    """Once nothing goes wrong any more, every operation succeeds."""
    for op in history.operations:
        if op.client == "reader" and not op.succeeded:
            yield Violation("no answer", op.key, f"{op} failed although all nodes run")


def shown(get: Operation) -> str:
    """What a get returned, for people."""
    versions = get.siblings.versions if get.siblings else ()
    return ", ".join((v.value or b"a tombstone").decode() for v in versions) or "nothing"
