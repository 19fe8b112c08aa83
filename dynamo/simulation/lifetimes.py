"""What must hold of values with a time to live, and of ephemeral ones.

A value reads as absent from its time on, by the clock of the node that answers. Which one that is a
history does not tell, and a clock may be set wrong: so a value that is shown must not have expired
by all clocks, and one that is hidden must have expired by one of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from dynamo.disk.contract import EXPIRIES
from dynamo.simulation.history import Clocks, History, Operation
from dynamo.simulation.writes import Violation
from dynamo.values.versions import Version


def check(history: History) -> list[Violation]:
    """All that is wrong with what gets showed."""
    puts = {op.written_at: op for op in history.of_kind("put") if op.ttl_s}
    gets = [op for op in history.of_kind("get") if op.succeeded]
    found: list[Violation] = []
    for get in gets if puts else ():
        for version in get.siblings.versions if get.siblings else ():
            put = puts.get(version.written_at)
            if put is not None and version.expires_at == put.expires_at:
                found += _wrongly_shown(get, version, history.clocks)
    return found


def _wrongly_shown(get: Operation, version: Version, clocks: Clocks) -> Iterator[Violation]:
    ended_at = get.ended_at if get.ended_at is not None else get.began_at
    if version.value is not None and version.expires_at <= clocks.earliest(get.began_at, ended_at):
        yield Violation("expired value", get.key, f"{get} shows {version}, which has expired")
    if version.value is None and version.expires_at > clocks.latest(get.began_at, ended_at):
        yield Violation("hidden value", get.key, f"{get} hides {version}, which has yet to expire")


def leftovers(
    history: History, passing: Sequence[str], disks: Mapping[str, Mapping[bytes, bytes]]
) -> Iterator[Violation]:
    """Once all that was ephemeral has expired, nothing of it is left on any disk.

    Where a delete met no copy it had to leave a tombstone that lasts.
    """
    deleted = {op.key.encode() for op in history.of_kind("delete")}
    names = [key.encode() for key in passing]
    for node, disk in disks.items() if names else ():
        for disk_key in disk:
            for key in names:
                if disk_key.endswith(key) and not _may_stay(disk_key, key, deleted):
                    text = f"{node} still has {disk_key!r} on its disk"
                    yield Violation("leftover", key.decode(), text)


def _may_stay(disk_key: bytes, key: bytes, deleted: Collection[bytes]) -> bool:
    return key in deleted and not EXPIRIES[0] <= disk_key < EXPIRIES[1]
