"""A `Store` in a folder that keeps many small values in few files: those of one call in one pack.

pack     := length checksum index value ...
length   := 4 bytes, big-endian: the size of the index
checksum := 4 bytes, big-endian: CRC-32 of the index
index    := msgpack map of keys to the sizes of their values, in the order of the values
"""

import contextlib
import os
import struct
import uuid
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import msgspec

from dynamo.options import Resolver
from dynamo.store import Reading, Written, check_key, check_value
from dynamo.values.versions import Context
from mapreduce.runners.folderstore import FolderStore

_PACK = "pack-"
_HEAD = struct.Struct(">II")
_index_decoder = msgspec.msgpack.Decoder(dict[str, int])


class PackStore(FolderStore):
    """For pieces: what `multi_put` stores makes one file, what `put` stores has its own.

    Any process may read what any has put. One that is asked for a key that it does not know looks
    for packs that it has not seen and remembers where their values are; so a key of `multi_put` is
    put once. What is deleted is gone for the process that does it; it is gone for all, and its
    space is free, when nothing is left of its pack. A value that was cut off is missing, and so
    are all of a pack whose index is damaged; values that are to be safe carry checksums.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__(folder)
        self._seen: set[Path] = set()
        self._places: dict[str, _Place] = {}
        self._left = Counter[Path]()
        """How many of its keys each pack still has."""
        self._lock = Lock()

    def get(
        self,
        key: str,
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> Reading:
        return self.multi_get([key])[key]

    def multi_get(
        self,
        keys: Iterable[str],
        *,
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
        resolver: Resolver = "siblings",
    ) -> dict[str, Reading]:
        wanted = dict.fromkeys(keys)
        with self._lock:
            places = self._find(wanted)
        packed = dict(_values(places))
        return {
            key: Reading((packed[key],), {}, ("folder",))
            if key in packed
            else FolderStore.get(self, key)
            for key in wanted
        }

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
        for key, value in items.items():
            check_key(key)
            check_value(value)
        if items:
            index = msgspec.msgpack.encode({key: len(value) for key, value in items.items()})
            head = _HEAD.pack(len(index), zlib.crc32(index))
            self._write(
                self._folder / f"{_PACK}{uuid.uuid4().hex}",
                b"".join([head, index, *items.values()]),
            )
        return dict.fromkeys(items, Written(("folder",)))

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
        check_key(key)
        with self._lock:
            if self._find([key]):
                self._forget(key)
        return super().delete(key)

    def list(
        self,
        prefix: str,
        *,
        after: str = "",
        n: int | None = None,
        r: int | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[str]:
        with self._lock:
            self._look()
            packed = [key for key in self._places if key.startswith(prefix) and key > after]
        return iter(sorted({*packed, *super().list(prefix, after=after)}))

    def _find(self, keys: Iterable[str]) -> dict[str, "_Place"]:
        """Where the values of those keys are that are in packs."""
        if any(key not in self._places for key in keys):
            self._look()
        return {key: self._places[key] for key in keys if key in self._places}

    def _look(self) -> None:
        """Read the indexes of packs that have come since the last time."""
        for pack in self._folder.glob(f"{_PACK}*"):
            if pack not in self._seen:
                self._seen.add(pack)
                found = _index(pack)
                self._places.update(found)
                self._left[pack] = len(found)

    def _forget(self, key: str) -> None:
        pack = self._places.pop(key).pack
        self._left[pack] -= 1
        if not self._left[pack]:
            del self._left[pack]
            pack.unlink(missing_ok=True)


class _Place(NamedTuple):
    """Where a value stands."""

    pack: Path
    offset: int
    size_bytes: int


def _index(pack: Path) -> dict[str, _Place]:
    """Where the values of a pack are; nothing if it is damaged, or gone."""
    try:
        with pack.open("rb") as file:
            length, checksum = _HEAD.unpack(file.read(_HEAD.size))
            index = file.read(min(length, os.fstat(file.fileno()).st_size))
    except (FileNotFoundError, struct.error):
        return {}
    if zlib.crc32(index) != checksum:
        return {}
    places = {}
    offset = _HEAD.size + length
    for key, size_bytes in _index_decoder.decode(index).items():
        places[key] = _Place(pack, offset, size_bytes)
        offset += size_bytes
    return places


def _values(places: Mapping[str, _Place]) -> Iterator[tuple[str, bytes]]:
    """Those values that are whole; each pack is opened once."""
    by_pack = defaultdict[Path, list[str]](list)
    for key, place in places.items():
        by_pack[place.pack].append(key)
    for pack, keys in by_pack.items():
        with contextlib.suppress(FileNotFoundError), pack.open("rb", buffering=0) as file:
            for key in keys:
                _, offset, size_bytes = places[key]
                value = os.pread(file.fileno(), size_bytes, offset)
                if len(value) == size_bytes:
                    yield key, value
