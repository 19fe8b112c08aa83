"""Files and modules that come with a job: checked where it is described, fetched where it runs.

A side file is there under its own name: `self.context.file("stopwords.txt")`. A module is a file
`helper.py`, the folder of a package, or a zip or wheel of some: it is zipped, and put on the path
of the processes that run tasks, before the job's own code is loaded.
"""

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from dynamo import files
from dynamo.store import Store
from mapreduce.data.inputs import Files
from mapreduce.data.locations import JOBS
from mapreduce.engine.orders import JobSpec, SideFile
from mapreduce.errors import InputMissing, JobError

FOLDER = f"/{JOBS}"
"""Where side files are in the store: below this, in a folder for each job."""
_ARCHIVES = (".zip", ".whl", ".egg")


# Where the job is described ----------------------------------------------------------------------


def given(paths: Iterable[str | Path]) -> tuple[SideFile, ...]:
    """Local files or folders by their names; raises for one that is missing, or two of a name."""
    found: dict[str, SideFile] = {}
    for path in map(Path, paths):
        if not path.exists():
            raise InputMissing(str(path), "it was to be sent with the job as a side file or module")
        side = SideFile(
            name=path.name, path=str(path.resolve()), executable=os.access(path, os.X_OK)
        )
        _add(side, found)
    return tuple(found.values())


def joined(*some: Iterable[SideFile]) -> tuple[SideFile, ...]:
    """All of them, each once; raises for two of a name."""
    found: dict[str, SideFile] = {}
    for side in itertools.chain(*some):
        _add(side, found)
    return tuple(found.values())


def _add(side: SideFile, found: dict[str, SideFile]) -> None:
    if found.setdefault(side.name, side) != side:
        raise JobError(
            f"the job has two side files or modules named {side.name!r}: "
            f"{found[side.name].path!r} and {side.path!r}; rename one"
        )


def check_files(spec: JobSpec) -> None:
    """Raise `JobError` if a side file is a folder: those are for modules."""
    for side in spec.files:
        if not Path(side.path).is_file():
            raise JobError(f"the side file {side.path!r} is a folder; name the files in it")


def zipped(spec: JobSpec, folder: Path) -> JobSpec:
    """`spec` with its modules zipped into `folder`."""
    modules = tuple(_zipped(module, folder) for module in spec.modules)
    return msgspec.structs.replace(spec, modules=modules)


@contextlib.contextmanager
def importable_here(paths: Iterable[str | Path]) -> Iterator[None]:
    """The modules at these paths can be imported as they can where the job runs."""
    with (
        tempfile.TemporaryDirectory(prefix="mapreduce-modules-") as folder,
        importable([_zipped(module, Path(folder)).path for module in given(paths)]),
    ):
        yield


def _zipped(module: SideFile, folder: Path) -> SideFile:
    path = Path(module.path)
    if path.suffix in _ARCHIVES:
        return module
    if path.is_file() and path.suffix != ".py":
        raise JobError(
            f"{module.path!r} is no module: give a .py file, the folder of a package, or a zip"
        )
    archive = folder / f"{path.name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for found in [path] if path.is_file() else sorted(path.rglob("*")):
            if found.is_file() and "__pycache__" not in found.parts:
                written.write(found, found.relative_to(path.parent))
    return SideFile(name=archive.name, path=str(archive))


def uploaded(spec: JobSpec, store: Store) -> JobSpec:
    """`spec` with its side files and modules, which are local, as files of the store.

    They get a folder of their own: a job of this name may be there already.
    """
    folder = f"{FOLDER}/{spec.name}-{os.urandom(4).hex()}"
    return msgspec.structs.replace(
        spec,
        files=tuple(_uploaded(side, f"{folder}/files", store) for side in spec.files),
        modules=tuple(_uploaded(side, f"{folder}/modules", store) for side in spec.modules),
    )


def _uploaded(side: SideFile, folder: str, store: Store) -> SideFile:
    path = f"{folder}/{side.name}"
    with Path(side.path).open("rb") as file:
        files.write(store, path, file)
    return msgspec.structs.replace(side, path=path)


def remove(store: Store, spec: JobSpec) -> None:
    """Delete the side files of a job from the store."""
    for side in spec.files + spec.modules:
        files.remove(store, side.path)


# Where it runs -----------------------------------------------------------------------------------


class SideFiles:
    """The side files of one job in a task's process; each is fetched when it is first used."""

    def __init__(self, spec: JobSpec, run: str, kind: Files, store: Store, scratch: Path) -> None:
        self._spec = spec
        self._kind = kind
        self._store = store
        self._folder = scratch / f"files-{run}"

    def find(self, name: str) -> Path:
        """Where the side file `name` is on this machine."""
        for side in self._spec.files:
            if side.name == name:
                return self._here(side)
        has = ", ".join(side.name for side in self._spec.files) or "none"
        raise JobError(f"the job has no side file {name!r}; those it was given: {has}")

    def modules(self) -> list[str]:
        """What belongs on `sys.path`."""
        return [str(self._here(module)) for module in self._spec.modules]

    def forget(self) -> None:
        """Delete what was fetched."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _here(self, side: SideFile) -> Path:
        if self._kind == "local":
            return Path(side.path)
        here = self._folder / side.name
        if not here.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            fetching = here.with_name(here.name + ".fetching")
            with fetching.open("wb") as file:
                file.writelines(files.read(self._store, side.path))
            if side.executable:
                fetching.chmod(0o755)
            fetching.replace(here)
        return here


@contextlib.contextmanager
def importable(paths: Sequence[str]) -> Iterator[None]:
    """Zips on the path of this process; afterwards they are off it, and what came from them is
    forgotten, so that the next job may bring another module of the same name."""
    sys.path[:0] = paths
    try:
        yield
    finally:
        for path in paths:
            sys.path.remove(path)
        for name, module in list(sys.modules.items()):
            if _comes_from(getattr(module, "__file__", None), paths):
                del sys.modules[name]


def _comes_from(file: str | None, paths: Sequence[str]) -> bool:
    return file is not None and any(file.startswith(path + "/") for path in paths)
