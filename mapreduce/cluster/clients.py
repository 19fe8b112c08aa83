"""Clients of masters, as workers and other masters keep them: over zerorpc, in the hub."""

import zerorpc
from zmq.constants import LINGER


def client_of(address: str) -> zerorpc.Client:
    """A client of the master at `address`. When it is closed, what it has not sent is dropped: one
    that timed out once may stay wedged, and has to be replaced."""
    client = zerorpc.Client(heartbeat=None)
    client._events.setsockopt(LINGER, 0)
    client.connect(f"tcp://{address}")
    return client
