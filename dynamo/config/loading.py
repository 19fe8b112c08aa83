"""From sections to the dataclasses, and the checks of what no section can know by itself."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dynamo.config.keys import CLUSTER_KEYS
from dynamo.config.placing import hosts as hosts_of
from dynamo.config.placing import workers as workers_of
from dynamo.config.sections import Section, read_sections
from dynamo.config.shapes import ClusterConfig, MasterConfig, NodeConfig
from dynamo.config.values import check_reach, host_of
from dynamo.errors import ConfigError

REPLICAS = 3
"""The default of `replicas` where there are nodes enough."""


def load(path: str | Path, worker_counts: Mapping[str, int] = {}) -> ClusterConfig:
    """Read and check a cluster.ini; raises `ConfigError` with its file, line and key.

    `worker_counts` says of some hosts how many workers they are to have, in place of those that the
    file names there: the first of these, and new ones beside the nodes with the fewest.
    """
    path = Path(path)
    sections = read_sections(path)
    clusters = sections["cluster"] or [Section(path, "cluster", "", 1, {})]
    if not sections["node"]:
        raise ConfigError(
            f"{path}: no nodes; a cluster needs at least one section [node NAME] with an address"
        )
    nodes = _nodes(path, clusters[0], sections["node"])
    masters = _masters(path, clusters[0], sections["master"])
    _check_workers(sections["worker"], nodes, masters)
    workers = workers_of(nodes, sections["worker"], worker_counts)
    listening = [*sections["node"], *sections["master"]]
    _check_addresses(listening)
    _check_reach(listening, clusters[0].get("trusted_network"))
    _check_master_folders(sections["master"], masters, nodes)
    return ClusterConfig(
        path=path,
        **_cluster_values(clusters[0], len(nodes)),
        nodes=nodes,
        masters=masters,
        workers=workers,
        hosts=hosts_of([*nodes, *masters, *workers], sections["host"], str(path.parent.resolve())),
    )


def _cluster_values(section: Section, node_count: int) -> dict[str, Any]:
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


def _nodes(path: Path, cluster: Section, sections: list[Section]) -> tuple[NodeConfig, ...]:
    base = _path(path, cluster.get("data"))

    def data(section: Section) -> Path:
        own = section.get("data")
        return _path(path, own) if own else base / section.name

    _check_folders(sections, data)
    return tuple(NodeConfig(s.name, s.get("address"), data(s), _host(s)) for s in sections)


def _check_workers(
    sections: Iterable[Section], nodes: Iterable[NodeConfig], masters: Iterable[MasterConfig]
) -> None:
    known = [node.name for node in nodes]
    for section in sections:
        if section.get("node") not in known:
            raise section.error("node", f"no such node; the file has {', '.join(known)}")
        if not masters:
            raise section.error("", "a worker needs a master: add a section [master NAME]")


def _masters(path: Path, cluster: Section, sections: list[Section]) -> tuple[MasterConfig, ...]:
    for section in sections:
        if len(sections) > 1 and not section.has("election"):
            raise section.error(
                "",
                "there is more than one master, and so each needs the key 'election': "
                "a host:port of its own at which they elect the one that leads",
            )
    base = _path(path, cluster.get("data"))
    return tuple(
        MasterConfig(s.name, s.get("address"), s.get("election") or "", base / s.name, _host(s))
        for s in sections
    )


def _host(section: Section) -> str:
    return section.get("host") or host_of(section.get("address"))


def _check_master_folders(
    sections: list[Section], masters: Iterable[MasterConfig], nodes: Iterable[NodeConfig]
) -> None:
    owners = {node.data: node.name for node in nodes}
    for section, master in zip(sections, masters):
        if master.data in owners:
            raise section.error(
                "",
                f"its folder {master.data} is that of [node {owners[master.data]}]; "
                "give one of them another name",
            )


def _check_addresses(sections: Iterable[Section]) -> None:
    """No two servers listen at one address, and none twice."""
    owners: dict[str, str] = {}
    for section in sections:
        for key in ("address", "election"):
            if key == "address" or section.has(key):
                owner = owners.setdefault(section.get(key), f"{key} of {section.title}")
                if owner != f"{key} of {section.title}":
                    raise section.error(key, f"it is the {owner}: each needs its own")


def _check_reach(sections: Iterable[Section], trusted_network: bool) -> None:
    """Servers listen where only this machine reaches them, unless the network is trusted."""
    for section in sections:
        for key in ("address", "election"):
            if key == "address" or section.has(key):
                try:
                    check_reach(section.get(key), trusted_network)
                except ValueError as error:
                    raise section.error(key, str(error)) from None


def _check_folders(sections: Iterable[Section], folder_of: Callable[[Section], Path]) -> None:
    owners: dict[Path, Section] = {}
    for section in sections:
        other = owners.setdefault(folder_of(section), section)
        if other is not section:
            raise section.error("data", f"{other.title} has the same data: each needs its own")


def _path(ini: Path, text: str) -> Path:
    """A path of the file, relative to the file's own folder."""
    return Path(os.path.abspath(ini.parent / Path(text).expanduser()))  # noqa: PTH100
