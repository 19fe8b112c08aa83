"""Reports of workers that can't reach the leading master, passed on to it by one that stands by.

A network need not be transitive: a worker may reach some masters and not the one that leads, while
those reach it. What is passed on is opaque here; the leader takes it in as if it had come directly.
"""

import zerorpc

from dynamo.errors import DynamoError, Unreachable
from mapreduce.cluster.clients import client_of

TIMEOUT_S = 1.2
"""The leader answers within its hold of half a second; the worker waits for a little longer."""


class Relay:
    """Of one master; lives in the hub. Its client connects when it is first needed."""

    def __init__(self) -> None:
        self._client: zerorpc.Client | None = None
        self._address = ""

    def report(self, leader: str, report: bytes) -> bytes:
        """What the master at `leader` answers. Raises `Unreachable` if it does not."""
        client = self._connected(leader)
        try:
            orders: bytes = client.report(report, timeout=TIMEOUT_S)
        except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
            if client is self._client:
                self.close()  # a client that timed out once may stay wedged
            raise Unreachable(f"the leading master, at {leader}, does not answer") from None
        except zerorpc.RemoteError as error:
            raise DynamoError(f"the leading master refuses: {error.msg}") from None
        return orders

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connected(self, address: str) -> zerorpc.Client:
        if self._client is None or address != self._address:
            self.close()
            self._client, self._address = client_of(address), address
        return self._client
