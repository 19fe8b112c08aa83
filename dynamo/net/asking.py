"""Asking one node one question, without a link: before the ring is known, and to look at a node."""

import time
from typing import cast
from uuid import uuid4

import zerorpc
from gevent import socket

from dynamo.errors import CorruptData, DynamoError, Unreachable
from dynamo.net import wire
from dynamo.net.line import connect
from dynamo.protocol.messages import Envelope, Message, Request


def ask(
    address: str, request: Request, timeout_s: float, context: zerorpc.Context, relay: str = ""
) -> Message | DynamoError:
    """The reply of the node at `address` ("host:port"), or the error that says why there is none.
    With `relay` it is reached by a socket in that folder (`dynamo.net.relay`).

    Blocks its greenlet for about `timeout_s` at most; where nobody listens it says so at once.
    """
    if not relay and not listens(address, timeout_s):
        return Unreachable(f"nothing listens at {address}")
    rpc = connect(address, timeout_s, context, relay)
    try:
        reply = _converse(rpc, address, request, time.monotonic() + timeout_s)
    except (zerorpc.TimeoutExpired, zerorpc.LostRemote):
        reply = None
    except (zerorpc.RemoteError, CorruptData) as error:
        return Unreachable(f"the answer from {address} can't be read: {error}")
    finally:
        rpc.close()
    return reply or Unreachable(f"{address} listens, and had no answer within {timeout_s:g} s")


def listens(address: str, timeout_s: float) -> bool:
    """Whether anything listens at `address`: zerorpc would wait its whole time for a node that may
    yet start."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=timeout_s).close()
    except OSError:
        return False
    return True


def _converse(
    rpc: zerorpc.Client, address: str, request: Request, deadline: float
) -> Message | None:
    """Exchange frames until the node has answered `request`; None if it doesn't in time.

    An exchange returns after a short hold with what is ready (see `dynamo.net.link`), so a node
    that works on the request is asked again.
    """
    me = f"asking-{uuid4().hex}"
    sent = [Envelope(me, address, cast(Message, request))]
    while time.monotonic() < deadline:
        frame = wire.Frame(me, 1 - len(sent), sent)
        answer = wire.decode(rpc.exchange(wire.encode(frame)))
        for envelope in answer.envelopes:
            return envelope.message
        if not answer.open:  # the node has started again and knows nothing of the request
            return None
        sent = []
    return None
