"""The links from a node to the other members: made when first needed, remade when one moves."""

from collections.abc import Callable, Mapping

import zerorpc

from dynamo.errors import DynamoError, Unreachable
from dynamo.net.link import Link
from dynamo.protocol.messages import Envelope

OnReplies = Callable[[list[Envelope]], None]
OnLost = Callable[[list[Envelope], DynamoError], None]


class Links:
    """All links of the node `me`.

    `addresses` tells where each member is reached, by what is known of the cluster just now.
    """

    def __init__(
        self,
        me: str,
        addresses: Callable[[], Mapping[str, str]],
        on_replies: OnReplies,
        on_lost: OnLost,
        context: zerorpc.Context,
    ) -> None:
        self._me = me
        self._addresses = addresses
        self._on_replies = on_replies
        self._on_lost = on_lost
        self._context = context
        self._links: dict[str, Link] = {}

    def send(self, peer: str, requests: list[Envelope]) -> None:
        """Send requests to a member; see `Link.send`."""
        link = self._link(peer)
        if link is None:
            self._on_lost(requests, Unreachable(f"{peer} is no member of the cluster any more"))
        else:
            link.send(requests)

    def heard(self, peer: str) -> None:
        """A member has called here: it is there again, if it was not."""
        if peer in self._links:
            self._links[peer].heard()

    def backlogs(self) -> dict[str, int]:
        """Member -> requests that wait to be sent to it."""
        return {peer: link.backlog for peer, link in self._links.items()}

    def close(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()

    def _link(self, peer: str) -> Link | None:
        address = self._addresses().get(peer)
        link = self._links.get(peer)
        if link is not None and link.address != address:
            del self._links[peer]
            link.close()
            link = None
        if link is None and address is not None:
            link = Link(self._me, address, self._on_replies, self._on_lost, self._context)
            self._links[peer] = link
        return link
