"""A ladder diagram: who sent what to whom, and when, as text.

One column for each participant, one row for each envelope at the moment it arrived:

          sent   arrived  c1       n1       n2       n3
         0.000     2.494  o------->|        |        |        Put colour=green blind
         5.617     7.900  |        o------->|        |        StoreCopy colour green
         5.617      lost  |        o-----------------x        StoreCopy colour green

Times are in milliseconds. `o` sends, the arrow's head receives, `x` is where an envelope did not
arrive. While a machine is down its line is a dot.
"""

from collections.abc import Callable, Iterator, Sequence

from dynamo.protocol.messages import (
    CopyFetched,
    Envelope,
    Failed,
    GetDone,
    GetRoots,
    Gossip,
    Gossiped,
    Heard,
    KeysListed,
    ListKeys,
    Message,
    Put,
    PutDone,
    RootsDone,
    Rumour,
    StageChange,
    StoreCopy,
)
from dynamo.simulation.network import Note, Passage, Trace
from dynamo.values.versions import Context, Siblings

COLUMN = 9
"""Characters from one line of the ladder to the next."""
TIMES = "{:>10}{:>10}  "
ENDLESS = Gossip | Gossiped | Rumour | Heard | GetRoots | RootsDone
"""What nodes say to each other every few seconds though nothing happens."""


def draw(
    trace: Trace,
    participants: Sequence[str],
    key: str | None = None,
    *,
    gossip: bool = False,
    contexts: bool = False,
) -> Iterator[str]:
    """The lines of the diagram, for one key or for all; `gossip` shows what never ends, too.

    `contexts` shows behind each message what it has seen, such as `{n1:2 n2:1}`.
    """
    concerns = _concerning(key)
    lives = _Lives() if contexts else None
    down: set[str] = set()
    heads = "".join(name.ljust(COLUMN) for name in participants)
    yield (TIMES.format("sent", "arrived") + heads).rstrip()
    for event in trace:
        if isinstance(event, Note):
            if event.text.startswith("crashes"):
                down.add(event.name)
            elif event.text == "starts":
                down.discard(event.name)
            row = _row(participants, down, {participants.index(event.name): "#"})
            yield f"{TIMES.format('', _ms(event.at))}{row}{event.name} {event.text}"
        elif isinstance(event.envelope.message, ENDLESS) and not gossip:
            continue
        elif concerns(event.envelope.message):
            seen = _context_of(event.envelope.message) if lives else None
            suffix = f" {lives.text(seen)}" if lives and seen is not None else ""
            yield _passage(event, participants, down) + suffix


def _passage(passage: Passage, participants: Sequence[str], down: set[str]) -> str:
    envelope = passage.envelope
    start, end = (participants.index(n) for n in (envelope.sender, envelope.receiver))
    arrived = _ms(passage.ended_at) if passage.fate in ("", "nobody there") else passage.fate
    head = "x" if passage.fate else ">" if start < end else "<"
    row = _row(participants, down, {start: "o"})
    row = _arrow(row, start * COLUMN, end * COLUMN, head, lost=bool(passage.fate))
    times = TIMES.format(_ms(passage.sent_at), arrived)
    note = " (nobody there)" if passage.fate == "nobody there" else ""
    return f"{times}{row}{label(envelope)}{note}"


def _row(participants: Sequence[str], down: set[str], marks: dict[int, str]) -> str:
    """The lifelines, with a mark instead of the line at some of them."""
    lines = ("." if name in down else "|" for name in participants)
    return "".join(marks.get(place, line).ljust(COLUMN) for place, line in enumerate(lines))


def _arrow(row: str, start: int, end: int, head: str, *, lost: bool) -> str:
    """`row` with an arrow between two lifelines; its head stands beside the line it reaches."""
    forward = 1 if start < end else -1
    tip = end if lost else end - forward
    between = range(start + forward, tip, forward)
    cells = list(row)
    for place in between:
        cells[place] = "-"
    cells[tip] = head
    return "".join(cells)


def _concerning(key: str | None) -> Callable[[Message], bool]:
    """Whether a message is about `key`; replies belong to the request whose number they bear."""
    keys: dict[int, str] = {}

    def concerns(message: Message) -> bool:
        if named := getattr(message, "key", ""):
            keys[message.id] = named
        return key is None or keys.get(message.id) == key

    return concerns


class _Lives:
    """Short names for the actors of one key: the node's, with a stroke for each later life."""

    def __init__(self) -> None:
        self._short: dict[str, str] = {}

    def text(self, context: Context) -> str:
        told = (f"{self._name(actor)}:{count}" for actor, count in sorted(context.items()))
        return "{" + " ".join(told) + "}"

    def _name(self, actor: str) -> str:
        if actor not in self._short:
            node = actor.rsplit("-", 2)[0]
            earlier = sum(short.rstrip("'") == node for short in self._short.values())
            self._short[actor] = node + "'" * earlier
        return self._short[actor]


def _context_of(message: Message) -> Context | None:
    """What a message says has been seen; None where it says nothing of that."""
    if isinstance(message, Put):
        return message.context
    siblings = getattr(message, "siblings", None)
    return siblings.context if isinstance(siblings, Siblings) else None


def label(envelope: Envelope) -> str:
    """A message in a few words."""
    message = envelope.message
    kind = type(message).__name__
    if isinstance(message, Put):
        blind = " blind" if message.context is None else ""
        return f"{kind} {message.key}={_text(message.value)}{blind}"
    if isinstance(message, StoreCopy):
        hint = f" for {message.hint_for}" if message.hint_for else ""
        return f"{kind} {message.key} {_values(message.siblings)}{hint}"
    if isinstance(message, CopyFetched):
        return f"{kind} {_values(message.siblings)}"
    if isinstance(message, GetDone):
        return f"{kind} {_values(message.siblings)} by {','.join(message.nodes)}"
    if isinstance(message, PutDone):
        return f"{kind} on {','.join(message.nodes)}"
    if isinstance(message, Failed):
        return f"{kind} {message.reason} {message.detail}".rstrip()
    if isinstance(message, KeysListed):
        return f"{kind} {' '.join(message.keys)}".rstrip()
    if isinstance(message, StageChange):
        return f"{kind} {message.change}"
    if isinstance(message, ListKeys):
        return f"{kind} {message.prefix} after {message.after or 'the start'}"
    return f"{kind} {getattr(message, 'key', '')}".rstrip()


def _values(siblings: Siblings) -> str:
    return " ".join(_text(version.value) for version in siblings.versions) or "nothing"


def _text(value: bytes | None) -> str:
    return "deleted" if value is None else value.decode(errors="replace")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3f}"
