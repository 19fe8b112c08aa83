"""cluster.ini: which nodes, masters and workers make a cluster, on which hosts, and how the store
replicates.

`load` reads a file into frozen dataclasses and checks it once, so that nothing behind it has to.
Every mistake is one `ConfigError` that names the file, the line and the key.
"""

from dynamo.config.keys import KEYS
from dynamo.config.loading import load
from dynamo.config.shapes import (
    ClusterConfig,
    HostConfig,
    LimitsConfig,
    MasterConfig,
    NodeConfig,
    WorkerConfig,
)

__all__ = [
    "KEYS",
    "ClusterConfig",
    "HostConfig",
    "LimitsConfig",
    "MasterConfig",
    "NodeConfig",
    "WorkerConfig",
    "load",
]
