"""Places that input comes from, each with files to be read: the real thing, on this machine."""

import io
import os
import threading
import uuid
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec

from dynamo import files
from dynamo.store import MemoryStore
from mapreduce.data.locations import Files
from tests.mapreduce import s3


class StorePlace:
    """Files in the store."""

    plain: Files = "store"
    """Where plain paths are in this place."""
    folder = "/books"

    def __init__(self) -> None:
        self.store = MemoryStore()

    def path(self, name: str) -> str:
        """What an input calls a file, a glob, or "" for all."""
        return f"{self.folder}/{name}".rstrip("/")

    def put(self, name: str, content: bytes) -> None:
        files.write(self.store, self.path(name), io.BytesIO(content))

    def remove(self, name: str) -> None:
        files.remove(self.store, self.path(name))


class KeyPlace(StorePlace):
    """Plain keys of the store."""

    def path(self, name: str) -> str:
        return f"keys:book-{name}"

    def put(self, name: str, content: bytes) -> None:
        self.store.put(f"book-{name}", content)

    def remove(self, name: str) -> None:
        self.store.delete(f"book-{name}")


class LocalPlace(StorePlace):
    """Files of this machine."""

    plain: Files = "local"
    written_at = 1e9

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = str(folder)

    def put(self, name: str, content: bytes) -> None:
        path = Path(self.folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        LocalPlace.written_at += 10  # so that a clock of full seconds tells it as well
        os.utime(path, (self.written_at, self.written_at))

    def remove(self, name: str) -> None:
        Path(self.folder, name).unlink()


class FileUrlPlace(LocalPlace):
    """The same by their URLs."""

    def path(self, name: str) -> str:
        return f"file://{self.folder}/{name}"


class ZipPlace(LocalPlace):
    """Files in an archive, which is written anew for each change."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.contents: dict[str, bytes] = {}

    def path(self, name: str) -> str:
        return f"zip://{name}::file://{self.folder}/all.zip"

    def put(self, name: str, content: bytes) -> None:
        self.contents[name] = content
        with zipfile.ZipFile(Path(self.folder, "all.zip"), "w") as archive:
            for each, data in self.contents.items():
                archive.writestr(each, data)

    def remove(self, name: str) -> None:
        del self.contents[name]
        self.put("other", b"")


class MemoryUrlPlace(StorePlace):
    """Files in fsspec's memory."""

    plain: Files = "local"

    def __init__(self) -> None:
        super().__init__()
        self.folder = f"/{uuid.uuid4().hex}"
        self.fs: Any = fsspec.filesystem("memory")

    def path(self, name: str) -> str:
        return f"memory:/{self.folder}/{name}".rstrip("/")

    def put(self, name: str, content: bytes) -> None:
        self.fs.pipe_file(f"{self.folder}/{name}", content)

    def remove(self, name: str) -> None:
        self.fs.rm(f"{self.folder}/{name}")


class S3Place(StorePlace):
    """Files in a bucket."""

    plain: Files = "local"

    def __init__(self) -> None:
        super().__init__()
        self.folder = s3.new_folder()
        self.fs = s3.client()

    def put(self, name: str, content: bytes) -> None:
        self.fs.pipe_file(self.path(name), content)

    def remove(self, name: str) -> None:
        self.fs.rm_file(self.path(name))


class HttpPlace(LocalPlace):
    """Files of a web server."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder)
        self.address = address

    def path(self, name: str) -> str:
        return f"{self.address}/{name}"


class WithoutRanges(SimpleHTTPRequestHandler):
    """Gives whole files only, whatever is asked for."""

    def log_message(self, *arguments: object) -> None:
        """Nothing is printed."""


class WithRanges(WithoutRanges):
    """Gives ranges of files too (RFC 9110, section 14)."""

    def do_GET(self) -> None:
        path = self.translate_path(self.path)
        asked = self.headers.get("Range", "")
        if not asked or not os.path.isfile(path):  # noqa: PTH113
            super().do_GET()
            return
        start, stop = asked.removeprefix("bytes=").split("-")
        content = Path(path).read_bytes()
        data = content[int(start) : int(stop) + 1]
        self.send_response(206)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Range", f"bytes {start}-{stop}/{len(content)}")
        self.end_headers()
        self.wfile.write(data)


class WithoutLength(WithoutRanges):
    """Does not say how long a file is: it ends with the connection."""

    def send_header(self, keyword: str, value: str) -> None:
        if keyword != "Content-Length":
            super().send_header(keyword, value)


SERVERS = {"http": WithRanges, "http-whole": WithoutRanges, "http-endless": WithoutLength}
KINDS = ["store", "keys", "local", "file", "zip", "memory", "s3", *SERVERS]


@contextmanager
def place_of(kind: str, folder: Path) -> Iterator[StorePlace]:
    """A place of that kind, empty; `folder` is for its files."""
    if kind in SERVERS:
        with served(SERVERS[kind], folder) as address:
            yield HttpPlace(folder, address)
        return
    made = {"store": StorePlace, "keys": KeyPlace, "memory": MemoryUrlPlace, "s3": S3Place}
    here = {"local": LocalPlace, "file": FileUrlPlace, "zip": ZipPlace}
    yield made[kind]() if kind in made else here[kind](folder)


@contextmanager
def served(handler: type[WithoutRanges], folder: Path) -> Iterator[str]:
    """A web server on this machine, and its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
