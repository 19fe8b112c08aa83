"""Everything that nodes and clients say to each other.

Peers and clients are both addresses: a request is an envelope, and so is its reply, which repeats
the request's `id`. Every node answers every request; an answer that never comes (the node or the
network died) is a deadline that passes at the one who waits.

    client → node   Put          PutDone | Failed
                    Get          GetDone | Failed
                    PutMany      PutDone | Failed
                    GetMany      GotMany | Failed
                    ListKeys     KeysListed | Failed
                    GetRing      RingDone
                    GetCluster, StageChange, ClearPlan, CommitPlan    ClusterDone | Failed
    people → node   FetchHints   HintsFetched      (`dynamo explain`)
                    GiveUp       GivenUp | Failed  (`dynamo give-up`)
    node → node     StoreCopy    CopyStored | Failed
                    FetchCopy    CopyFetched | Failed
                    StoreCopies  CopyStored | Failed
                    FetchCopies  CopiesFetched | Failed
                    ListCopies   CopiesListed | Failed
                    GetRoots     RootsDone
                    GetNodes     NodesDone | Failed
                    ListSegments SegmentsListed
                    FindDead     FoundDead
                    Reap         Reaped | Failed
                    Ping         Pong
                    Gossip       Gossiped
                    Rumour       Heard
                    Put, Get, PutMany, GetMany
                                 as a client's: a node that holds no copy passes a request on

The forms for many keys carry a *lot*: keys of one partition, which the same nodes hold.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from dynamo.values.cluster import Change, Cluster, News, Rank
from dynamo.values.hashtree import Hashes
from dynamo.values.versions import Context, Siblings


class Request(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """A message that wants a reply with the same `id`."""

    id: int


class Reply(msgspec.Struct, frozen=True, array_like=True, tag=True, gc=False):
    """The answer to the request `id`."""

    id: int


# From clients. Zero for n, r, w or timeout_s means the cluster's own setting. ---------------------


class Condition(StrEnum):
    """What must hold where a put is coordinated, or it fails; best effort, not a consensus."""

    NONE = ""
    ABSENT = "absent"
    """Nothing live is stored under the key."""
    UNCHANGED = "unchanged"
    """Nothing stands there that the put's context has not seen."""


class Put(Request, frozen=True):
    """Write a key, or delete it with `value=None`; see `dynamo.values.versions.update`."""

    key: str
    value: bytes | None
    context: Context | None
    written_at: float
    """Seconds since 1970 by the client's clock."""
    n: int = 0
    w: int = 0
    timeout_s: float = 0.0
    durable: bool = True
    expires_at: float = 0.0
    """Seconds since 1970 from which on it reads as absent; 0 for never."""
    ephemeral: bool = False
    """It leaves nothing behind once it has expired; for keys that hold nothing that lasts."""
    condition: Condition = Condition.NONE


class PutDone(Reply, frozen=True):
    nodes: tuple[str, ...]
    """Who had stored it when the write quorum was complete."""


class Get(Request, frozen=True):
    key: str
    n: int = 0
    r: int = 0
    timeout_s: float = 0.0


class GetDone(Reply, frozen=True):
    siblings: Siblings
    nodes: tuple[str, ...]
    """Whose copies were merged."""


class PutMany(Request, frozen=True):
    """Write (or with None delete) the keys of one lot, each like a `Put` without a context.

    It is done when all of them are; if it fails, some may have been written.
    """

    items: tuple[tuple[str, bytes | None], ...]
    written_at: float
    n: int = 0
    w: int = 0
    timeout_s: float = 0.0
    durable: bool = True
    expires_at: float = 0.0
    ephemeral: bool = False

    @property
    def key(self) -> str:
        """One of them: what leads one to its owners leads all."""
        return self.items[0][0]


class GetMany(Request, frozen=True):
    """Read the keys of one lot."""

    keys: tuple[str, ...]
    n: int = 0
    r: int = 0
    timeout_s: float = 0.0

    @property
    def key(self) -> str:
        """One of them: what leads one to its owners leads all."""
        return self.keys[0]


class GotMany(Reply, frozen=True):
    siblings: tuple[Siblings, ...]
    """Of the keys in their order, the first, as many as one answer has room for."""
    nodes: tuple[str, ...]
    """Whose copies were merged."""


class ListKeys(Request, frozen=True):
    """One page of the live keys that begin with `prefix` and sort behind `after`."""

    prefix: str
    after: str
    limit: int
    n: int = 0
    r: int = 0
    timeout_s: float = 0.0


class KeysListed(Reply, frozen=True):
    keys: tuple[str, ...]
    after: str
    """Where the next page begins; "" at the end. A page may hold no key and not be the last."""


class GetRing(Request, frozen=True):
    pass


class RingDone(Reply, frozen=True):
    owners: tuple[str, ...]
    epoch: int
    addresses: dict[str, str]
    n: int
    r: int
    w: int
    timeout_s: float


class Failure(StrEnum):
    """Why a request failed."""

    QUORUM = "quorum"
    """Too few replicas answered before the deadline."""
    REQUEST = "request"
    """The request can't succeed as it is; `detail` says why."""
    OVERLOADED = "overloaded"
    """A bounded queue is full; `detail` says which."""
    CONFLICT = "conflict"
    """The condition of a put does not hold; `context` and `values` say what is there."""
    CORRUPT = "corrupt"
    """The copy is damaged; it counts neither as a value nor as the absence of one."""
    READ_ONLY = "read-only"
    """The node's disk takes no writes; `detail` names the node and says why."""
    FILLING = "filling"
    """The node has yet to get from others what it should hold; see `dynamo.protocol.wholeness`."""


class Failed(Reply, frozen=True):
    reason: Failure
    detail: str = ""
    needed: int = 0
    answered: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    after_s: float = 0.0
    context: Context | None = None
    values: int = 0


# Changes of the cluster, from operators and between nodes ----------------------------------------


class Gossip(Request, frozen=True):
    """Do you know the same cluster? `digest` is of what the sender knows."""

    digest: bytes


class Gossiped(Reply, frozen=True):
    cluster: Cluster | None
    """What this node knows, if it is not the same."""


class Rumour(Request, frozen=True):
    """What the sender has learned of the cluster; nobody waits for the answer."""

    news: News


class Heard(Reply, frozen=True):
    pass


class GetCluster(Request, frozen=True):
    """What do you know of the cluster, and of the change that is planned or under way?"""


class StageChange(Request, frozen=True):
    """Add a change to what is planned; nothing happens before it is committed."""

    change: Change


class ClearPlan(Request, frozen=True):
    """Forget what is planned."""


class CommitPlan(Request, frozen=True):
    """Carry out what is planned, if the table still has this rank."""

    rank: Rank


class ClusterDone(Reply, frozen=True):
    cluster: Cluster


# Between nodes -----------------------------------------------------------------------------------


class StoreCopy(Request, frozen=True):
    """Merge these siblings into your copy; or keep them for `hint_for`, the owner that is down."""

    key: str
    siblings: Siblings
    durable: bool = True
    hint_for: str = ""


class CopyStored(Reply, frozen=True):
    hint_for: str = ""
    """The owner that the copy is kept for, as the request said."""


class StoreCopies(Request, frozen=True):
    """`StoreCopy` for a lot: keys and records as they go to the disk (`dynamo.disk.record`)."""

    copies: tuple[tuple[str, bytes], ...]
    durable: bool = True
    hint_for: str = ""
    lasting: bool = False
    """None of them is ephemeral, so the records may be kept unread."""


class FetchCopy(Request, frozen=True):
    """Tell what your copy holds."""

    key: str
    anyway: bool = False
    """Even if you are filling: "nothing" will not be taken for an answer."""


class CopyFetched(Reply, frozen=True):
    siblings: Siblings


class FetchHints(Request, frozen=True):
    """Tell which copies of `key` you keep for owners that are down."""

    key: str


class HintsFetched(Reply, frozen=True):
    hints: dict[str, Siblings]
    """By the owner each is kept for."""


class GiveUp(Request, frozen=True):
    """Drop your copy of `key`, which is damaged and which no other node could heal."""

    key: str


class GivenUp(Reply, frozen=True):
    pass


class FetchCopies(Request, frozen=True):
    """Tell what your copies of a lot's keys hold."""

    keys: tuple[str, ...]
    anyway: bool = False
    """Even if you are filling: see `FetchCopy`."""


class CopiesFetched(Reply, frozen=True):
    siblings: tuple[Siblings, ...]
    """Of the keys in their order, the first, as many as one answer has room for."""


class FindDead(Request, frozen=True):
    """Which of these dead keys of a partition do you know nothing else of?"""

    rank: Rank
    """The table of owners that the sender goes by."""
    partition: int
    items: tuple[tuple[str, bytes], ...]
    """Key and digest of what an owner should hold."""


class FoundDead(Reply, frozen=True):
    keys: tuple[str, ...]


class Reap(Request, frozen=True):
    """Drop your copies of these keys, where they are exactly what the digests say."""

    rank: Rank
    items: tuple[tuple[str, bytes], ...]


class Reaped(Reply, frozen=True):
    dropped: int


class Ping(Request, frozen=True):
    """Are you there?"""


class Pong(Reply, frozen=True):
    pass


class Lost(Reply, frozen=True):
    """From a node's own shell: the request `id` to this envelope's sender will not be answered."""

    silent: bool = True
    """The sender does not answer; else it does, but has started again and forgotten the request."""


class ListCopies(Request, frozen=True):
    """Tell which copies you hold: at most `limit` keys, in order."""

    prefix: str
    after: str
    limit: int


class Listed(NamedTuple):
    """A key in a listing; its siblings have their values blanked, tombstones stay None."""

    key: str
    siblings: Siblings


class CopiesListed(Reply, frozen=True):
    copies: tuple[Listed, ...]
    more: bool
    """True if `limit` cut the list off."""
    epoch: int
    """Of the table of owners by which its node had, or was filling, what it should hold."""
    filling: tuple[int, ...] = ()
    """Partitions that are left out: this node may lack anything of them."""


# Between nodes that compare their hash trees: see `dynamo.values.hashtree` ------------------------


class GetRoots(Request, frozen=True):
    """Tell the roots of these partitions' trees, of trees that have all of `max_age_s` ago."""

    partitions: tuple[int, ...]
    max_age_s: float


class RootsDone(Reply, frozen=True):
    roots: tuple[tuple[int, bytes], ...]
    """Partition and root; those that have yet to be hashed are left out."""
    filling: tuple[int, ...]
    """Which of all that were asked about this node does not hold whole."""


class GetNodes(Request, frozen=True):
    """Tell the hashes of the children of these inner nodes of one level."""

    partition: int
    level: int
    indexes: tuple[int, ...]


class NodesDone(Reply, frozen=True):
    nodes: tuple[tuple[int, Hashes], ...]
    """Index and children; empty if the tree has yet to be hashed."""


class ListSegments(Request, frozen=True):
    """Tell the keys of these segments, with the digests of your copies."""

    partition: int
    segments: tuple[int, ...]


class SegmentsListed(Reply, frozen=True):
    segments: tuple[tuple[int, dict[str, bytes]], ...]
    """The first of those asked for, at least one: as many as make a message of a sensible size."""
    whole: bool
    """False if this node may lack anything of the partition."""


KeyRequest = Put | Get | PutMany | GetMany
"""What is asked of the nodes that hold a key, or the keys of a lot."""
ClientRequest = KeyRequest | ListKeys | GetRing

Message = (
    Put
    | PutDone
    | Get
    | GetDone
    | PutMany
    | GetMany
    | GotMany
    | ListKeys
    | KeysListed
    | GetRing
    | RingDone
    | Failed
    | Gossip
    | Gossiped
    | Rumour
    | Heard
    | GetCluster
    | StageChange
    | ClearPlan
    | CommitPlan
    | ClusterDone
    | Ping
    | Pong
    | Lost
    | StoreCopy
    | CopyStored
    | FetchCopy
    | CopyFetched
    | FetchHints
    | HintsFetched
    | GiveUp
    | GivenUp
    | FindDead
    | FoundDead
    | Reap
    | Reaped
    | StoreCopies
    | FetchCopies
    | CopiesFetched
    | ListCopies
    | CopiesListed
    | GetRoots
    | RootsDone
    | GetNodes
    | NodesDone
    | ListSegments
    | SegmentsListed
)


class Envelope(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A message on its way from one address to another."""

    sender: str
    receiver: str
    message: Message

    def reply(self, message: Message) -> "Envelope":
        """`message` on its way back to where this envelope came from."""
        return Envelope(self.receiver, self.sender, message)
