"""How many workers a host is to have, as `mapreduce up --workers N` was told.

It is kept in <data>/run/workers.json, {HOST: N} as JSON, until `mapreduce down`; all commands then
see these workers in the place of those that cluster.ini names there.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from cli.errors import Failure
from dynamo.config import ClusterConfig, load


def applied(config: ClusterConfig) -> ClusterConfig:
    """`config` with the workers that `mapreduce up --workers` has given its hosts."""
    counts = _read(config)
    return load(config.path, counts) if counts else config


@contextlib.contextmanager
def chosen(config: ClusterConfig, host: str, count: int) -> Iterator[ClusterConfig]:
    """`config` with `count` workers on `host`, which is kept unless the block fails."""
    if not config.masters:
        raise Failure(f"{config.path}: workers need a master; add a section [master NAME]", 2)
    if not any(node.host == host for node in config.nodes):
        raise Failure(f"{config.path}: host {host} has no store node for workers to be beside", 2)
    before = _read(config)
    counts = {**before, host: count}
    _keep(config, counts)
    try:
        yield load(config.path, counts)
    except BaseException:
        _keep(config, before)
        raise


def forget(config: ClusterConfig, host: str | None) -> None:
    """Let `host`, or all hosts, have the workers of cluster.ini again."""
    counts = _read(config)
    _keep(config, {name: count for name, count in counts.items() if host not in (None, name)})


def _path(config: ClusterConfig) -> Path:
    return config.data / "run" / "workers.json"


def _read(config: ClusterConfig) -> dict[str, int]:
    try:
        return msgspec.json.decode(_path(config).read_bytes(), type=dict[str, int])
    except (OSError, msgspec.MsgspecError):
        return {}


def _keep(config: ClusterConfig, counts: dict[str, int]) -> None:
    path = _path(config)
    if not counts:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(counts))
