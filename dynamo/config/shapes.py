"""What a cluster.ini comes to: frozen dataclasses, all checked."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dynamo.errors import ConfigError


@dataclass(frozen=True)
class NodeConfig:
    """A store node: where it listens and the folder that holds its data."""

    name: str
    address: str
    data: Path
    host: str = ""


@dataclass(frozen=True)
class MasterConfig:
    """A MapReduce master: where it listens, and its folder. `election` is where the masters find
    each other to elect the one that leads; "" for a master that is alone."""

    name: str
    address: str
    election: str
    data: Path
    host: str = ""


@dataclass(frozen=True)
class LimitsConfig:
    """What the tasks of a worker may take of its machine, all together; 0 for as much as there is
    (docs/sandbox.md)."""

    sandbox: str = "none"
    cpu_share: float = 0.0
    """A part of 1: of all processors of the machine."""
    memory_mb: int = 0
    disk_mb: int = 0
    open_files: int = 0
    """In each process of a task."""
    processes: int = 0
    """In each task."""


@dataclass(frozen=True)
class WorkerConfig:
    """A MapReduce worker: the store node beside it, and how many tasks it runs at once."""

    name: str
    node: str
    slots: int
    host: str = ""
    limits: LimitsConfig = LimitsConfig()


@dataclass(frozen=True)
class HostConfig:
    """A machine with servers, and how `mapreduce up --ssh` starts them there.

    `ssh` is where it is found, NAME or USER@NAME, `ssh_options` are further words of that command,
    `folder` is where cluster.ini lies there, and `python` runs the command; "": `mapreduce` is on
    the path.
    """

    name: str
    ssh: str
    ssh_options: tuple[str, ...]
    folder: str
    python: str


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
    trusted_network: bool
    data: Path
    nodes: tuple[NodeConfig, ...]
    masters: tuple[MasterConfig, ...]
    workers: tuple[WorkerConfig, ...]
    hosts: tuple[HostConfig, ...]
    """The machines on which there are servers, in the order of those."""

    def node(self, name: str) -> NodeConfig:
        """The store node `name`; `ConfigError` names those there are."""
        return _named(self.path, "node", self.nodes, name)

    def master(self, name: str) -> MasterConfig:
        """The master `name`; `ConfigError` names those there are."""
        return _named(self.path, "master", self.masters, name)

    def worker(self, name: str) -> WorkerConfig:
        """The worker `name`; `ConfigError` names those there are."""
        return _named(self.path, "worker", self.workers, name)

    def host(self, name: str) -> HostConfig:
        """The host `name`; `ConfigError` names those there are."""
        for host in self.hosts:
            if host.name == name:
                return host
        names = ", ".join(host.name for host in self.hosts)
        raise ConfigError(f"{self.path}: no server is on a host {name!r}; they are on {names}")

    @property
    def node_addresses(self) -> dict[str, str]:
        """Node name -> host:port, in the order of the file."""
        return {node.name: node.address for node in self.nodes}

    @property
    def master_addresses(self) -> dict[str, str]:
        """Master name -> host:port, in the order of the file."""
        return {master.name: master.address for master in self.masters}


def _named(path: Path, kind: str, there: Iterable[Server], name: str) -> Server:
    for one in there:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in there)
    raise ConfigError(f"{path}: no [{kind} {name}] in the file; it has {names or 'none'}")
