"""The import floors of the house: imports go downward only, and each outside thing has one door.

Everything is read from the source with `ast`; nothing is imported. To move a floor, change the
tables, and ARCHITECTURE.md with them.
"""

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    # Each floor, and the modules of the house it may import beside its own.
    "dynamo.errors": (),
    "dynamo.values": (),
    "dynamo.inifile": ("dynamo.errors",),
    "dynamo.config": ("dynamo.errors", "dynamo.inifile"),
    "dynamo.disk": ("dynamo.errors", "dynamo.values"),
    "dynamo.protocol": ("dynamo.errors", "dynamo.values", "dynamo.disk"),
    "dynamo.options": ("dynamo.errors", "dynamo.values"),
    "dynamo.store": ("dynamo.errors", "dynamo.values", "dynamo.options"),
    "dynamo.update": ("dynamo.errors", "dynamo.store"),
    "dynamo.files": ("dynamo.errors", "dynamo.store"),
    "dynamo.net": (
        "dynamo.errors",
        "dynamo.config",
        "dynamo.values",
        "dynamo.disk",
        "dynamo.protocol",
        "dynamo.options",
        "dynamo.store",
    ),
    "dynamo.simulation": (
        "dynamo.errors",
        "dynamo.values",
        "dynamo.disk",
        "dynamo.protocol",
        "dynamo.store",
    ),
    "dynamo": (),
    "mapreduce.errors": (),
    "mapreduce.api": ("mapreduce.errors",),
    "mapreduce.data": ("mapreduce.errors", "mapreduce.api"),
    "mapreduce.engine": ("mapreduce.errors", "mapreduce.api", "mapreduce.data"),
    "mapreduce.cluster": (
        "mapreduce.errors",
        "mapreduce.api",
        "mapreduce.data",
        "mapreduce.engine",
    ),
    "mapreduce.jsonwire": ("mapreduce.errors", "mapreduce.engine"),
    "mapreduce.runners": (
        "mapreduce.errors",
        "mapreduce.api",
        "mapreduce.data",
        "mapreduce.engine",
        "mapreduce.cluster",
    ),
    "mapreduce.job": (
        "mapreduce.errors",
        "mapreduce.api",
        "mapreduce.data",
        "mapreduce.engine",
        "mapreduce.runners",
    ),
    "mapreduce.hadoop": (
        "mapreduce.errors",
        "mapreduce.api",
        "mapreduce.data",
        "mapreduce.engine",
        "mapreduce.runners",
        "mapreduce.job",
    ),
    "mapreduce": (
        "mapreduce.errors",
        "mapreduce.api",
        "mapreduce.data",
        "mapreduce.engine",
        "mapreduce.runners",
        "mapreduce.job",
    ),
}

STORE_DOOR = (
    "dynamo.errors",
    "dynamo.options",
    "dynamo.store",
    "dynamo.files",
    "dynamo.values.versions",
)
"""All that mapreduce sees of the store."""

CONNECTS = ("mapreduce.cluster", "mapreduce.runners.connections")
"""Who may also open a connection to a cluster, and read where it is."""
CONNECTION = ("dynamo.net.client", "dynamo.config")

ONE_DOOR: Mapping[str, tuple[str, ...]] = {
    # A library, and the only floors that know it.
    "zerorpc": ("dynamo.net", "mapreduce.cluster"),
    "gevent": ("dynamo.net", "mapreduce.cluster"),
    "zmq": ("dynamo.net", "mapreduce.cluster"),
    "plyvel": ("dynamo.disk.leveldb",),
    "pysyncobj": ("mapreduce.cluster.election",),
    "greenlet": ("mapreduce.hadoop.contexts",),
    "fsspec": ("mapreduce.data.remote",),
    "cloudpickle": ("mapreduce.engine.shipping",),
    "lz4": ("mapreduce.data.codecs",),
    "pyarrow": ("mapreduce.data.formats.parquet",),
    "click": ("cli",),
    "rich": ("cli", "mapreduce.runners.bars"),
}

PURE = (
    "dynamo.values",
    "dynamo.protocol",
    "mapreduce.engine.events",
    "mapreduce.engine.ledger",
    "mapreduce.engine.placement",
    "mapreduce.engine.retry",
    "mapreduce.engine.scheduler",
    "mapreduce.engine.status",
    "mapreduce.jsonwire.actions",
    "mapreduce.jsonwire.jobs",
    "mapreduce.jsonwire.master",
    "mapreduce.jsonwire.messages",
    "mapreduce.jsonwire.tables",
    "mapreduce.jsonwire.worker",
)
"""State machines and values: time is an argument, randomness is injected, nothing is sent."""
NOT_IN_PURE = ("gevent", "zerorpc", "plyvel", "time", "socket", "threading", "zmq", "asyncio")
STATEFUL_RANDOM = ("Random", "SystemRandom")
"""The names of `random` that may be used there: generators that are handed in."""

STANDARD_LIBRARY_ONLY = ("dynamo.values",)


def inside(module: str, floors: Iterable[str]) -> bool:
    return any(module == floor or module.startswith(floor + ".") for floor in floors)


def floor_of(module: str) -> str | None:
    """The longest floor that holds `module`; a package's own __init__ is its own floor."""
    fitting = [floor for floor in MAY_IMPORT if inside(module, [floor])]
    fitting = [floor for floor in fitting if "." in floor or floor == module]
    return max(fitting, key=len, default=None)


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source_files(*packages: str) -> list[Path]:
    return sorted(path for package in packages for path in (ROOT / package).rglob("*.py"))


def imports(module: str, tree: ast.AST) -> Iterator[tuple[int, str, str | None]]:
    """(line, module, name) for every import, also in functions; name is None for `import x`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import in line {node.lineno}"
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def is_module(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()


def imported(module: str, name: str | None) -> str:
    """`from dynamo.values import ring` imports dynamo.values.ring, not only its package."""
    joined = f"{module}.{name}"
    return joined if name and is_module(joined) else module


def violations(module: str, source: str) -> list[str]:
    """What in `source`, the text of `module`, breaks the floors: one line each."""
    tree = ast.parse(source)
    found = []
    for line, target, name in imports(module, tree):
        reasons = broken_rules(module, imported(target, name), name)
        found += [f"{module}:{line} imports {target}: {reason}" for reason in reasons]
    if inside(module, PURE):
        found += module_level_random(module, tree)
    return found


def broken_rules(module: str, target: str, name: str | None) -> Iterator[str]:
    library = target.partition(".")[0]
    if library in ONE_DOOR and not inside(module, ONE_DOOR[library]):
        yield f"only {', '.join(ONE_DOOR[library])} may know it"
    if inside(module, PURE) and library in NOT_IN_PURE:
        yield "this floor is pure"
    if inside(module, PURE) and library == "random" and name not in (None, *STATEFUL_RANDOM):
        yield "a function of the module has a state of its own; take a Random"
    if library in ("cli", "tests", "examples", "benchmarks"):
        if not inside(module, ["cli"]):
            yield "it lies above"
    elif library in ("dynamo", "mapreduce"):
        yield from broken_floors(module, target)
    elif inside(module, STANDARD_LIBRARY_ONLY) and library not in sys.stdlib_module_names:
        yield "the standard library only"


def broken_floors(module: str, target: str) -> Iterator[str]:
    mine, theirs = floor_of(module), floor_of(target)
    if inside(module, ["cli"]):
        return
    if inside(module, ["dynamo"]) and inside(target, ["mapreduce"]):
        yield "the store knows nothing of MapReduce"
    elif inside(module, ["mapreduce"]) and inside(target, ["dynamo"]):
        door = STORE_DOOR + (CONNECTION if inside(module, CONNECTS) else ())
        if not inside(target, door):
            yield f"mapreduce sees of the store only {', '.join(door)}"
    elif mine is None or theirs is None:
        yield "it is on no floor; add it to MAY_IMPORT"
    elif mine != theirs and not inside(theirs, MAY_IMPORT[mine]):
        yield f"{mine} lies below {theirs}, or beside it"


def module_level_random(module: str, tree: ast.AST) -> Iterator[str]:
    """Uses of random.choice and its like, whose state is shared by the whole process."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "random"
            and isinstance(node.ctx, ast.Load)
            and node.attr.islower()
            and imports_random(tree)
        ):
            yield f"{module}:{node.lineno} uses random.{node.attr}: take a Random"


def imports_random(tree: ast.AST) -> bool:
    return any(target == "random" and not name for _, target, name in imports("", tree))


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """A circle of modules that import each other, or []."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for target in sorted(graph.get(module, ())):
            if found := walk(target, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for module in sorted(graph) if (found := walk(module, []))), [])


def import_graph() -> dict[str, set[str]]:
    return {
        module_name(path): {
            imported(target, name)
            for _, target, name in imports(module_name(path), ast.parse(path.read_text()))
        }
        for path in source_files("dynamo", "mapreduce", "cli")
    }


# What must hold ----------------------------------------------------------------------------------


def test_every_import_goes_downward() -> None:
    found = [
        line
        for path in source_files("dynamo", "mapreduce", "cli")
        for line in violations(module_name(path), path.read_text())
    ]
    assert not found, "\n" + "\n".join(found)


def test_every_module_is_on_a_floor() -> None:
    lost = [
        str(path)
        for path in source_files("dynamo", "mapreduce")
        if floor_of(module_name(path)) is None
    ]
    assert lost == []


def test_no_circles() -> None:
    assert circle(import_graph()) == []


def test_the_floors_themselves_have_no_circle() -> None:
    assert circle({floor: set(below) for floor, below in MAY_IMPORT.items()}) == []


BAD_SOURCES = {
    "values know nothing above them": ("dynamo.values.ring", "import dynamo.store"),
    "values use the standard library only": ("dynamo.values.ring", "import msgspec"),
    "errors know nothing": ("dynamo.errors", "from dynamo.config import load"),
    "the protocol has no clock": ("dynamo.protocol.node", "import time"),
    "nor one in a function": ("dynamo.protocol.node", "def f():\n    from time import time"),
    "nor a socket": ("dynamo.protocol.quorum", "import socket"),
    "nor gevent": ("dynamo.protocol.node", "from gevent.event import Event"),
    "nor threads": ("dynamo.protocol.node", "import threading"),
    "nor chance of its own": ("dynamo.protocol.node", "import random\nrandom.choice([1])"),
    "nor by name": ("dynamo.protocol.node", "from random import choice"),
    "the scheduler has no clock": ("mapreduce.engine.scheduler", "import time"),
    "the disk knows no protocol": ("dynamo.disk.contract", "import dynamo.protocol.messages"),
    "one door to LevelDB": ("dynamo.disk.contract", "import plyvel"),
    "one door to the network": ("mapreduce.runners.cluster", "import zerorpc"),
    "one door to cloudpickle": ("mapreduce.engine.executor", "import cloudpickle"),
    "the store's contract knows no sockets": ("dynamo.store", "from dynamo.net import client"),
    "files know the contract only": ("dynamo.files", "from dynamo.net.client import Client"),
    "the store knows no MapReduce": ("dynamo.files", "import mapreduce.api"),
    "jobs see the store's door only": ("mapreduce.data.inputs", "import dynamo.values.ring"),
    "tasks can't connect": ("mapreduce.engine.tasks", "from dynamo.net.client import Client"),
    "the interface is the ground": ("mapreduce.api", "import mapreduce.data.formats"),
    "data knows no engine": ("mapreduce.data.shuffle", "from mapreduce.engine import paths"),
    "the engine knows no runner": ("mapreduce.engine.tasks", "import mapreduce.runners.local"),
    "the cluster knows no runner": ("mapreduce.cluster.master", "import mapreduce.runners.local"),
    "nothing knows the commands": ("mapreduce.cluster.master", "import cli.progress"),
    "a module on no floor": ("dynamo.attic", "import dynamo.store"),
}


@pytest.mark.parametrize(("module", "source"), BAD_SOURCES.values(), ids=BAD_SOURCES.keys())
def test_a_violation_is_seen(module: str, source: str) -> None:
    assert violations(module, source)


GOOD_SOURCES = {
    "a generator handed in": (
        "dynamo.protocol.node",
        "import random\ndef f(r: random.Random): ...",
    ),
    "its own floor": ("dynamo.protocol.node", "from dynamo.protocol import messages"),
    "the floor below": ("dynamo.protocol.node", "from dynamo.values.ring import Ring"),
    "the top of mapreduce": ("mapreduce.job", "from mapreduce.runners import local"),
    "the contract": ("mapreduce.data.inputs", "from dynamo.store import Store"),
}


@pytest.mark.parametrize(("module", "source"), GOOD_SOURCES.values(), ids=GOOD_SOURCES.keys())
def test_what_is_allowed_passes(module: str, source: str) -> None:
    assert violations(module, source) == []


def test_a_circle_is_seen() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
