"""What the nodes say of themselves, for people: the table and the lines of `dynamo status`.

A component's own section of a node's status is put into words by one function of `SECTIONS`.
"""

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from cli import show
from dynamo.values.histogram import Histogram

COLUMNS = (
    "node",
    "address",
    "state",
    "share",
    "disk",
    "puts/s",
    "gets/s",
    "p99 ms",
    "hints",
    "sees as down",
)

Told = Mapping[str, dict[str, Any]]
"""What each node that answers says of itself, by name."""


def answered(found: Mapping[str, Any]) -> Told:
    """Those nodes of `found` that have answered; the others have a text instead of a status."""
    return {name: status for name, status in found.items() if isinstance(status, dict)}


def row(name: str, address: str, status: Any) -> tuple[str, ...]:
    """The line of one node in the table; `status` is a text where the node did not answer."""
    if not isinstance(status, dict):
        return (name, address, "no answer", *[""] * (len(COLUMNS) - 3))
    ring, requests = status["ring"], status["requests"]
    seconds = histogram_of(requests.values())
    return (
        name,
        address,
        "up" if ring.get("is_member", True) else "no member",
        f"{100 * ring['owned'] / ring['partitions']:.1f} %",
        show.size(status["disk"]["used_bytes"]),
        rate(requests["put"]["per_s_10s"]),
        rate(requests["get"]["per_s_10s"]),
        milliseconds(1000 * seconds.percentile(99)),
        f"{sum(kept['copies'] for kept in status['hints'].values()):,}",
        ", ".join(down_in(status)),
    )


def in_natural_order(name: str) -> tuple[str, int, str]:
    """
    >>> sorted(["n10", "n2"], key=in_natural_order)
    ['n2', 'n10']
    """
    letters = name.rstrip("0123456789")
    return letters, int(name[len(letters) :] or 0), name


def rate(per_s: float) -> str:
    """
    >>> rate(0), rate(0.25), rate(12345.6)
    ('-', '0.2', '12,346')
    """
    if per_s == 0:
        return "-"
    return f"{per_s:.1f}" if per_s < 10 else f"{per_s:,.0f}"


def milliseconds(milliseconds: float) -> str:
    """
    >>> milliseconds(0), milliseconds(0.123), milliseconds(1234.5)
    ('-', '0.12', '1,234')
    """
    if milliseconds == 0:
        return "-"
    return f"{milliseconds:.2f}" if milliseconds < 10 else f"{milliseconds:,.0f}"


def histogram_of(durations: Iterable[Mapping[str, Any]]) -> Histogram:
    """All that was counted in these sections together."""
    total = Histogram()
    for section in durations:
        total.update(Histogram.of_pairs(section["histogram_s"]))
    return total


def down_in(status: Mapping[str, Any]) -> list[str]:
    """Whom a node takes to be down."""
    return [member for member, up in status["members"].items() if not up]


# Lines below the table ---------------------------------------------------------------------------


def _hint_lines(name: str, hints: Mapping[str, Any]) -> Iterator[str]:
    """
    >>> kept = {"n2": {"copies": 1200, "age_s": 75.0, "waits_for": "n2 to answer"}}
    >>> print(*_hint_lines("n1", kept))
    n1 keeps 1,200 copies for n2, the oldest for 1 min 15 s; waits for n2 to answer
    """
    for owner, kept in hints.items():
        copies = "1 copy" if kept["copies"] == 1 else f"{kept['copies']:,} copies"
        age = show.duration(kept["age_s"])
        yield (
            f"{name} keeps {copies} for {owner}, the oldest for {age}; "
            f"waits for {kept['waits_for']}"
        )


def _corrupt_lines(name: str, corrupt_reads: int) -> Iterator[str]:
    if corrupt_reads:
        yield f"{name} has met damaged copies in {show.number_of(corrupt_reads, 'read')}"


def _damage_lines(name: str, damaged: Mapping[str, Any]) -> Iterator[str]:
    """
    >>> waits_for = {"colour": "no other copy"}
    >>> damaged = {"found": 7, "healed": 6, "waiting": 1, "waits_for": waits_for}
    >>> print(*_damage_lines("n1", damaged), sep="\\n")
    n1 has found 7 damaged records since its start, and healed 6 of them
    n1 refuses its damaged copy of 'colour', and no other is whole: `dynamo give-up colour` drops it
    """
    from dynamo.protocol.healing import NO_OTHER_COPY  # slow to import: not before it is needed

    if damaged["found"]:
        found = show.number_of(damaged["found"], "damaged record")
        yield f"{name} has found {found} since its start, and healed {damaged['healed']:,} of them"
    for key, reason in damaged["waits_for"].items():
        if reason == NO_OTHER_COPY:
            way_out = f"no other is whole: `dynamo give-up {shlex.quote(key)}` drops it"
            yield f"{name} refuses its damaged copy of {key!r}, and {way_out}"
        else:
            yield f"{name} refuses its damaged copy of {key!r}, which waits for: {reason}"
    if damaged["waiting"] > len(damaged["waits_for"]):
        yield f"{name} refuses {damaged['waiting']:,} damaged copies, of which these are the first"


def _comparison_lines(name: str, compared: Mapping[str, Any]) -> Iterator[str]:
    """
    >>> peers = {"n2": {"waits_for": "n2 has not answered for 7.5 s", "age_s": 75.0}}
    >>> compared = {"peers": peers, "filling": {"3": [], "5": ["n2"]}}
    >>> print(*_comparison_lines("n1", compared), sep="\\n")
    n1 fills 2 partitions from other replicas, and answers no read of them till then
    n1 last agreed with n2: 1 min 15 s ago; n2 has not answered for 7.5 s
    """
    if compared["filling"]:
        filling = show.number_of(len(compared["filling"]), "partition")
        yield f"{name} fills {filling} from other replicas, and answers no read of them till then"
    for peer, told in compared["peers"].items():
        if told["waits_for"] and told["waits_for"] != f"{peer} to answer":  # that one is down
            age_s = told["age_s"]
            ago = "not yet" if age_s is None else f"{show.duration(age_s)} ago"
            yield f"{name} last agreed with {peer}: {ago}; {told['waits_for']}"


def _transfer_lines(name: str, transfer: Mapping[str, Any]) -> Iterator[str]:
    """
    >>> transfer = {"stray_partitions": 1, "hints_without_owner": 0, "has_old_copies": True}
    >>> print(*_transfer_lines("n1", transfer))
    n1 has yet to hand over what it has of 1 partition; see `dynamo transfers`
    """
    if transfer["stray_partitions"]:
        strays = show.number_of(transfer["stray_partitions"], "partition")
        yield f"{name} has yet to hand over what it has of {strays}; see `dynamo transfers`"
    if transfer["hints_without_owner"]:
        hints = show.number_of(transfer["hints_without_owner"], "hint")
        yield f"{name} has yet to pass on {hints} for a node that has left"


def _dead_lines(name: str, dead: Mapping[str, Any]) -> Iterator[str]:
    """
    >>> dead = {"waiting": 1200, "waits_for": "n2 to answer", "reaped": 7}
    >>> print(*_dead_lines("n1", dead))
    n1 sees to 1,200 tombstones and expired values that wait for n2 to answer
    """
    if dead["waits_for"]:
        yield (
            f"{name} sees to {show.number_of(dead['waiting'], 'tombstone')} and expired values "
            f"that wait for {dead['waits_for']}"
        )


def _refusal_lines(name: str, refused: Mapping[str, int]) -> Iterator[str]:
    """
    >>> print(*_refusal_lines("n1", {"quorum": 3, "overloaded": 1200}))
    n1 has failed or refused since its start: 1,200 overloaded, 3 quorum
    """
    if refused:
        counts = (f"{count:,} {reason}" for reason, count in sorted(refused.items()))
        yield f"{name} has failed or refused since its start: {', '.join(counts)}"


def _ring_lines(name: str, ring: Mapping[str, Any]) -> Iterator[str]:
    """
    >>> print(*_ring_lines("n4", {"is_member": False}))
    n4 is no member, and passes requests on; `dynamo join n4` makes it one
    """
    if not ring.get("is_member", True):
        yield f"{name} is no member, and passes requests on; `dynamo join {name}` makes it one"


SECTIONS: Mapping[str, Callable[[str, Any], Iterator[str]]] = {
    "ring": _ring_lines,
    "hints": _hint_lines,
    "corrupt_reads": _corrupt_lines,
    "damaged": _damage_lines,
    "anti_entropy": _comparison_lines,
    "transfer": _transfer_lines,
    "dead": _dead_lines,
    "refused": _refusal_lines,
}
"""Section of a node's status -> what is to be said of it, given the node's name."""


def detail_lines(told: Told) -> Iterator[str]:
    """What single nodes have to say, section by section."""
    yield from _compared(told)
    for section, lines in SECTIONS.items():
        for name, status in told.items():
            if section in status:
                yield from lines(name, status[section])


def _compared(told: Told) -> Iterator[str]:
    """How long ago each node last compared all it holds with whom it has not for longest.

    >>> found = {"n1": {"anti_entropy": {"peers": {"n2": {"age_s": 75.0}, "n3": {"age_s": 3.0}}}}}
    >>> print(*_compared({**found, "n2": {"anti_entropy": {"peers": {"n1": {"age_s": None}}}}}))
    all replicas compared: n1 1 min 15 s ago, n2 not yet
    """
    views = []
    for name, status in told.items():
        ages = [peer["age_s"] for peer in status["anti_entropy"]["peers"].values()]
        if ages:
            ago = "not yet" if None in ages else f"{show.duration(max(ages))} ago"
            views.append(f"{name} {ago}")
    if views:
        yield f"all replicas compared: {', '.join(views)}"


# Warnings ----------------------------------------------------------------------------------------


def warnings(found: Mapping[str, Any]) -> Iterator[str]:
    """What somebody should look after; `found` has a text for each node that did not answer."""
    told = answered(found)
    for name, status in found.items():
        if name not in told:
            yield f"{name}: {status}"
    yield from _down_lines(told)
    for change in sorted({status["ring"].get("change", "") for status in told.values()} - {""}):
        yield f"a change of members is under way ({change}); see `dynamo transfers`"
    for status in told.values():
        if wrong := status["ring"].get("misconfigured"):
            yield wrong
    yield from _differing("the nodes know different rings", "epoch", told, _epoch)
    yield from _differing("the nodes run different versions", "version", told, _version)


def _down_lines(told: Told) -> Iterator[str]:
    """Who takes whom to be down, and who does not."""
    for member in sorted({member for status in told.values() for member in down_in(status)}):
        views = {name: member in down_in(status) for name, status in told.items()}
        sees = [name for name, down in views.items() if down]
        others = [name for name, down in views.items() if not down and name != member]
        longest_s = max(told[name]["down_s"].get(member, 0.0) for name in sees)
        text = f"{_list(sees, 'takes', 'take')} {member} to be down"
        text += f", for {show.duration(longest_s)}" if longest_s else ""
        yield text + (f"; {_list(others, 'does', 'do')} not" if others else "")


def _differing(
    what: str, unit: str, told: Told, read: Callable[[dict[str, Any]], object]
) -> Iterator[str]:
    """One line where not all nodes tell the same."""
    names: dict[object, list[str]] = {}
    for name, status in told.items():
        names.setdefault(read(status), []).append(name)
    if len(names) > 1:
        views = (f"{', '.join(group)} {unit} {value}" for value, group in names.items())
        yield f"{what}: {'; '.join(views)}"


def _epoch(status: dict[str, Any]) -> object:
    return status["ring"]["epoch"]


def _version(status: dict[str, Any]) -> object:
    return status["process"]["version"]


def _list(names: list[str], singular: str, plural: str) -> str:
    """
    >>> _list(["n1"], "takes", "take"), _list(["n1", "n3"], "takes", "take")
    ('n1 takes', 'n1 and n3 take')
    """
    if len(names) == 1:
        return f"{names[0]} {singular}"
    return f"{', '.join(names[:-1])} and {names[-1]} {plural}"
