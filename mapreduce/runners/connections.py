"""The master and the store of a cluster, for whoever in this process works with them."""

import threading
import weakref
from collections.abc import Callable
from pathlib import Path

from dynamo import config
from dynamo.errors import ConfigError
from dynamo.net.client import Client
from mapreduce.cluster.connection import Connection


class Connections:
    """Connections to the cluster that the file `path` describes; they close when nobody has them
    any more. Raises `ConfigError` for a file that describes none, or one without a master."""

    def __init__(self, path: str | Path) -> None:
        self.config = config.load(path)
        if not self.config.masters:
            raise ConfigError(f"{self.config.path}: no [master NAME], and so no jobs; add one")
        self.master = Connection(self.config.master_addresses.values())
        addresses = list(self.config.node_addresses.values())
        self.store = Client(addresses, timeout_s=self.config.timeout_s)
        self._close = weakref.finalize(self, in_a_thread, _close, self.store, self.master)

    @property
    def is_open(self) -> bool:
        return self._close.alive

    def close(self) -> None:
        self._close()


def _close(store: Client, master: Connection) -> None:
    store.close()
    master.close()


def in_a_thread(function: Callable[..., None], *args: object) -> None:
    """Call `function`, because an object has died, where it may block.

    Objects die in whichever thread collects garbage, and that may be the one the store's own calls
    wait for: all but the main thread hand this on to another.
    """
    if threading.current_thread() is threading.main_thread():
        function(*args)
    else:
        threading.Thread(target=function, args=args).start()
