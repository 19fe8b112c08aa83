"""The keys of cluster.ini, section by section: how each is read, its unit and its default."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dynamo.config.values import (
    address,
    count,
    files,
    folder,
    name_of,
    percent,
    power_of_two,
    sandbox,
    seconds,
    seconds_or_never,
    ssh_target,
    words,
    yes_or_no,
)

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
    Key(
        "trusted_network",
        yes_or_no,
        "no",
        "yes: servers may listen on addresses that other machines reach; whoever reaches one may "
        "read and change everything, and run programs",
    ),
    Key("data", folder, "var", "folder for data, logs and process ids, relative to this file"),
)
NODE_KEYS = (
    Key("address", address, REQUIRED, "host:port the node listens on"),
    Key("host", name_of, None, "the machine it runs on; default: the host of its address"),
    Key("data", folder, None, "the node's folder, relative to this file; default data/NAME"),
)
MASTER_KEYS = (
    Key("address", address, REQUIRED, "host:port the master listens on"),
    Key("host", name_of, None, "the machine it runs on; default: the host of its address"),
    Key(
        "election",
        address,
        None,
        "host:port at which it elects, with the other masters, the one that leads; needed where "
        "there is more than one master",
    ),
)
WORKER_KEYS = (
    Key("node", name_of, REQUIRED, "the store node beside this worker"),
    Key("host", name_of, None, "the machine it runs on; default: that of its node"),
    Key("slots", count, None, "tasks at once; default: this machine's CPUs over its workers"),
    Key(
        "sandbox",
        sandbox,
        "none",
        "none; limits: the limits below hold for its tasks; bwrap: besides, tasks have no network "
        "and see a read-only part of the system (needs bubblewrap)",
    ),
    Key("cpu_share", percent, None, "percent of all CPUs that its tasks may take; default: all"),
    Key("memory_mb", count, None, "MiB of memory that its tasks may take; default: any"),
    Key("disk_mb", count, None, "MiB that its tasks' scratch files may take; default: any"),
    Key("open_files", files, None, "files each process of a task may have open; default: any"),
    Key("processes", count, None, "processes each task may have, itself one; default: any"),
)
HOST_KEYS = (
    Key("ssh", ssh_target, None, "where ssh finds it, NAME or USER@NAME; default: the host's name"),
    Key("ssh_options", words, None, "further words for ssh, such as -p 2222"),
    Key("folder", folder, None, "the folder of cluster.ini there; default: the same path as here"),
    Key("python", folder, None, "the Python that has this package there; default: `mapreduce`"),
)
KEYS: Mapping[str, tuple[Key, ...]] = {
    "cluster": CLUSTER_KEYS,
    "node": NODE_KEYS,
    "master": MASTER_KEYS,
    "worker": WORKER_KEYS,
    "host": HOST_KEYS,
}
