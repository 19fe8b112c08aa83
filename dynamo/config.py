"""cluster.ini: which nodes, master and workers make a cluster, and how the store replicates.

The tables `CLUSTER_KEYS`, `NODE_KEYS`, `MASTER_KEYS` and `WORKER_KEYS` name every key with its unit
and default; `load` reads a file into frozen dataclasses and checks it once, so that nothing behind
it has to. Every mistake is one `ConfigError` that names the file, the line and the key.
"""

import configparser
import ipaddress
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from dynamo import inifile
from dynamo.errors import ConfigError
from dynamo.inifile import Entry

REPLICAS = 3
"""The default of `replicas` where there are nodes enough."""


@dataclass(frozen=True)
class NodeConfig:
    """A store node: where it listens and the folder that holds its data."""

    name: str
    address: str
    data: Path


@dataclass(frozen=True)
class MasterConfig:
    """A MapReduce master: where it listens, and its folder. `election` is where the masters find
    each other to elect the one that leads; "" for a master that is alone."""

    name: str
    address: str
    election: str
    data: Path


@dataclass(frozen=True)
class WorkerConfig:
    """A MapReduce worker: the store node beside it, and how many tasks it runs at once."""

    name: str
    node: str
    slots: int


Server = TypeVar("Server", NodeConfig, MasterConfig, WorkerConfig)


@dataclass(frozen=True)
class ClusterConfig:
    """A whole cluster.ini, checked. `read_quorum` and `write_quorum` are at most `replicas`, and
    `replicas` is at most the number of nodes."""

    path: Path
    name: str
    replicas: int
    read_quorum: int
    write_quorum: int
    partitions: int
    timeout_s: float
    fsync: bool
    reserve_mb: int
    reap_after_s: float
    data: Path
    nodes: tuple[NodeConfig, ...]
    masters: tuple[MasterConfig, ...]
    workers: tuple[WorkerConfig, ...]

    def node(self, name: str) -> NodeConfig:
        """The store node `name`; `ConfigError` names those there are."""
        return _named(self.path, "node", self.nodes, name)

    def master(self, name: str) -> MasterConfig:
        """The master `name`; `ConfigError` names those there are."""
        return _named(self.path, "master", self.masters, name)

    def worker(self, name: str) -> WorkerConfig:
        """The worker `name`; `ConfigError` names those there are."""
        return _named(self.path, "worker", self.workers, name)

    @property
    def node_addresses(self) -> dict[str, str]:
        """Node name -> host:port, in the order of the file."""
        return {node.name: node.address for node in self.nodes}

    @property
    def master_addresses(self) -> dict[str, str]:
        """Master name -> host:port, in the order of the file."""
        return {master.name: master.address for master in self.masters}


# How a value is read: each of these raises ValueError with what was expected ---------------------


def name_of(text: str) -> str:
    """A name that can also be the name of a folder and of a log file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", text):
        raise ValueError(
            "a name is 1 to 63 letters, digits, '-', '_' or '.', the first a letter or digit"
        )
    return text


def count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) == 0:
        raise ValueError("expected a whole number from 1")
    return int(text)


def power_of_two(text: str) -> int:
    number = count(text)
    if number & (number - 1) or number > 1 << 16:
        raise ValueError("expected a power of two up to 65536, such as 64")
    return number


def seconds(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not (number > 0 and math.isfinite(number)):
        raise ValueError("expected a number of seconds above 0")
    return number


def seconds_or_never(text: str) -> float:
    try:
        return 0.0 if float(text) == 0 else seconds(text)
    except ValueError:
        raise ValueError("expected a number of seconds, or 0 for never") from None


def yes_or_no(text: str) -> bool:
    try:
        return configparser.ConfigParser.BOOLEAN_STATES[text.lower()]
    except KeyError:
        raise ValueError("expected yes or no") from None


def folder(text: str) -> str:
    if not text:
        raise ValueError("expected the path of a folder")
    return text


def loopback_address(text: str) -> str:
    """host:port on the loopback interface; `localhost` becomes 127.0.0.1."""
    host, colon, port_text = text.rpartition(":")
    port = int(port_text) if re.fullmatch(r"[0-9]{1,5}", port_text) else 0
    if not colon or not host or not 0 < port < 1 << 16:
        raise ValueError("expected host:port with a port from 1 to 65535, such as 127.0.0.1:7401")
    if host == "localhost":
        host = "127.0.0.1"
    try:
        loopback = ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(
            f"{host} is not an IPv4 loopback address; servers have no keys yet, so anyone who "
            "reaches one can read and change everything: use 127.0.0.1"
        )
    return f"{host}:{port}"


# The keys ----------------------------------------------------------------------------------------

REQUIRED = object()
"""The default of a key that has none."""


@dataclass(frozen=True)
class Key:
    """One key of cluster.ini. `default` is the text in the place of a missing key, `REQUIRED`, or
    None where `load` works the default out, as `meaning` says."""

    name: str
    read: Callable[[str], Any]
    default: str | object | None
    meaning: str


CLUSTER_KEYS = (
    Key("name", name_of, "dynamo", "what people call the cluster"),
    Key("replicas", count, None, "nodes that hold each key (N); default 3, or all if fewer"),
    Key("read_quorum", count, None, "replicas a get waits for (R); default over half of N"),
    Key("write_quorum", count, None, "replicas a put waits for (W); default over half of N"),
    Key("partitions", power_of_two, "64", "equal parts of the hash space, a power of two"),
    Key("timeout_s", seconds, "10", "seconds after which a request fails"),
    Key("fsync", yes_or_no, "yes", "yes: a put is on the disk before it is acknowledged"),
    Key("reserve_mb", count, "64", "MiB kept free on a node's disk: with less it takes no writes"),
    Key(
        "reap_after_s",
        seconds_or_never,
        "3600",
        "seconds that no request outlives: the tombstone of a deleted key stands at least twice as "
        "long before it is dropped; 0 for never",
    ),
    Key("data", folder, "var", "folder for data, logs and process ids, relative to this file"),
)
NODE_KEYS = (
    Key("address", loopback_address, REQUIRED, "host:port the node listens on"),
    Key("data", folder, None, "the node's folder, relative to this file; default data/NAME"),
)
MASTER_KEYS = (
    Key("address", loopback_address, REQUIRED, "host:port the master listens on"),
    Key(
        "election",
        loopback_address,
        None,
        "host:port at which it elects, with the other masters, the one that leads; needed where "
        "there is more than one master",
    ),
)
WORKER_KEYS = (
    Key("node", name_of, REQUIRED, "the store node beside this worker"),
    Key("slots", count, None, "tasks at once; default: this machine's CPUs over all workers"),
)
KEYS: Mapping[str, tuple[Key, ...]] = {
    "cluster": CLUSTER_KEYS,
    "node": NODE_KEYS,
    "master": MASTER_KEYS,
    "worker": WORKER_KEYS,
}


def load(path: str | Path) -> ClusterConfig:
    """Read and check a cluster.ini; raises `ConfigError` with its file, line and key."""
    path = Path(path)
    sections = _sections(path)
    clusters = sections["cluster"] or [_Section(path, "cluster", "", 1, {})]
    if not sections["node"]:
        raise ConfigError(
            f"{path}: no nodes; a cluster needs at least one section [node NAME] with an address"
        )
    nodes = _nodes(path, clusters[0], sections["node"])
    masters = _masters(path, clusters[0], sections["master"])
    _check_addresses([*sections["node"], *sections["master"]])
    _check_master_folders(sections["master"], masters, nodes)
    return ClusterConfig(
        path=path,
        **_cluster_values(clusters[0], len(nodes)),
        nodes=nodes,
        masters=masters,
        workers=_workers(nodes, masters, sections["worker"]),
    )


class _Section:
    """One section with its lines: [kind name], or [cluster]."""

    def __init__(
        self, path: Path, kind: str, name: str, line: int, entries: Mapping[str, Entry]
    ) -> None:
        self.path = path
        self.kind = kind
        self.name = name
        self.line = line
        self._entries = entries

    @property
    def title(self) -> str:
        return f"[{self.kind} {self.name}]" if self.name else f"[{self.kind}]"

    def has(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> Any:
        """The value of `key`, read by its row of the table; None where `load` knows the default."""
        row = next(row for row in KEYS[self.kind] if row.name == key)
        if key not in self._entries:
            if row.default is REQUIRED:
                raise ConfigError(
                    f"{self.path}:{self.line}: {self.title} lacks the key {key!r}: {row.meaning}"
                )
            return row.read(row.default) if isinstance(row.default, str) else None
        text = self._entries[key].text
        try:
            return row.read(text)
        except ValueError as error:
            raise self.error(key, str(error)) from None

    def error(self, key: str, reason: str) -> ConfigError:
        """The error that says what is wrong with `key`, or with the section where it's missing."""
        if key not in self._entries:
            return ConfigError(f"{self.path}:{self.line}: {self.title}: {reason}")
        text, line = self._entries[key]
        shown = " ".join(text.split())
        return ConfigError(f"{self.path}:{line}: {key} = {shown} in {self.title}: {reason}")


# From text to sections ---------------------------------------------------------------------------


def _sections(path: Path) -> dict[str, list[_Section]]:
    """Kind -> sections in the order of the file, with known kinds and keys only."""
    found: dict[str, list[_Section]] = {kind: [] for kind in KEYS}
    for header, line, entries in inifile.read(path):
        section = _section(path, header, line, entries)
        if any(section.name == other.name for other in found[section.kind]):
            raise ConfigError(f"{path}:{line}: {section.title} is there twice")
        found[section.kind].append(section)
    return found


def _section(path: Path, header: str, line: int, entries: Mapping[str, Entry]) -> _Section:
    kind, _, name = header.strip().partition(" ")
    name = name.strip()
    if kind not in KEYS or (kind == "cluster") != (name == ""):
        raise ConfigError(
            f"{path}:{line}: unknown section [{header}]; "
            "there are [cluster], [node NAME], [master NAME] and [worker NAME]"
        )
    try:
        section = _Section(path, kind, name and name_of(name), line, entries)
    except ValueError as error:
        raise ConfigError(f"{path}:{line}: section [{header}]: {error}") from None
    known = [row.name for row in KEYS[kind]]
    for key, (_, key_line) in entries.items():
        if key not in known:
            raise ConfigError(
                f"{path}:{key_line}: unknown key {key!r} in {section.title}; "
                f"it can have {', '.join(known)}"
            )
    return section


# From sections to dataclasses --------------------------------------------------------------------


def _cluster_values(section: _Section, node_count: int) -> dict[str, Any]:
    values = {row.name: section.get(row.name) for row in CLUSTER_KEYS}
    replicas = values["replicas"] = values["replicas"] or min(REPLICAS, node_count)
    if replicas > node_count:
        raise section.error(
            "replicas",
            f"the file has {node_count} nodes, so no key can have {replicas} replicas; "
            f"add nodes or write replicas = {node_count}",
        )
    for quorum in ("read_quorum", "write_quorum"):
        values[quorum] = values[quorum] or replicas // 2 + 1
        if values[quorum] > replicas:
            raise section.error(
                quorum, f"it can't be over the number of replicas, which is {replicas}"
            )
    if node_count > values["partitions"]:
        raise section.error("partitions", f"{node_count} nodes need at least as many partitions")
    if 0 < values["reap_after_s"] <= values["timeout_s"]:
        raise section.error(
            "reap_after_s",
            f"it is {values['reap_after_s']:g}, and a request, which could bring back what was "
            f"deleted, may be under way for timeout_s = {values['timeout_s']:g}; give "
            "reap_after_s more than that, or 0 for never",
        )
    values["data"] = _path(section.path, values["data"])
    return values


def _nodes(path: Path, cluster: _Section, sections: list[_Section]) -> tuple[NodeConfig, ...]:
    base = _path(path, cluster.get("data"))

    def data(section: _Section) -> Path:
        own = section.get("data")
        return _path(path, own) if own else base / section.name

    _check_folders(sections, data)
    return tuple(NodeConfig(s.name, s.get("address"), data(s)) for s in sections)


def _workers(
    nodes: Iterable[NodeConfig], masters: Iterable[MasterConfig], sections: list[_Section]
) -> tuple[WorkerConfig, ...]:
    known = [node.name for node in nodes]
    share = max(1, _cpus() // max(1, len(sections)))
    for section in sections:
        if section.get("node") not in known:
            raise section.error("node", f"no such node; the file has {', '.join(known)}")
        if not masters:
            raise section.error("", "a worker needs a master: add a section [master NAME]")
    return tuple(WorkerConfig(s.name, s.get("node"), s.get("slots") or share) for s in sections)


def _masters(path: Path, cluster: _Section, sections: list[_Section]) -> tuple[MasterConfig, ...]:
    for section in sections:
        if len(sections) > 1 and not section.has("election"):
            raise section.error(
                "",
                "there is more than one master, and so each needs the key 'election': "
                "a host:port of its own at which they elect the one that leads",
            )
    base = _path(path, cluster.get("data"))
    return tuple(
        MasterConfig(s.name, s.get("address"), s.get("election") or "", base / s.name)
        for s in sections
    )


def _check_master_folders(
    sections: list[_Section], masters: Iterable[MasterConfig], nodes: Iterable[NodeConfig]
) -> None:
    owners = {node.data: node.name for node in nodes}
    for section, master in zip(sections, masters):
        if master.data in owners:
            raise section.error(
                "",
                f"its folder {master.data} is that of [node {owners[master.data]}]; "
                "give one of them another name",
            )


def _check_addresses(sections: Iterable[_Section]) -> None:
    """No two servers listen at one address, and none twice."""
    owners: dict[str, str] = {}
    for section in sections:
        for key in ("address", "election"):
            if key == "address" or section.has(key):
                owner = owners.setdefault(section.get(key), f"{key} of {section.title}")
                if owner != f"{key} of {section.title}":
                    raise section.error(key, f"it is the {owner}: each needs its own")


def _check_folders(sections: Iterable[_Section], folder_of: Callable[[_Section], Path]) -> None:
    owners: dict[Path, _Section] = {}
    for section in sections:
        other = owners.setdefault(folder_of(section), section)
        if other is not section:
            raise section.error("data", f"{other.title} has the same data: each needs its own")


def _named(path: Path, kind: str, there: Iterable[Server], name: str) -> Server:
    for one in there:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in there)
    raise ConfigError(f"{path}: no [{kind} {name}] in the file; it has {names or 'none'}")


def _path(ini: Path, text: str) -> Path:
    """A path of the file, relative to the file's own folder."""
    return Path(os.path.abspath(ini.parent / Path(text).expanduser()))  # noqa: PTH100


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        return os.cpu_count() or 1
