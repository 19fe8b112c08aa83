"""What `dynamo explain` says: the replicas of one key side by side, as plain values and as text."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from cli import show
from dynamo.errors import CorruptData, DynamoError
from dynamo.protocol.messages import RingDone
from dynamo.values.compare import Comparison, State, compare
from dynamo.values.ring import Ring
from dynamo.values.versions import EMPTY, Dot, Siblings, Version, reconcile

SILENT = "no answer"
DAMAGED = "damaged"
"""What a replica can be beside the states of `dynamo.values.compare`."""


def explain(
    key: str,
    ring: RingDone,
    answers: Mapping[str, Siblings | DynamoError],
    hints: Mapping[str, Mapping[str, Siblings] | DynamoError],
) -> dict[str, Any]:
    """All that is known of `key`, in plain values.

    `answers` are in the order of preference; `hints` are what each node keeps, by its owner.
    """
    table = Ring(ring.owners, ring.epoch)
    copies = {node: got for node, got in answers.items() if not isinstance(got, DynamoError)}
    compared = compare(copies)
    replicas = [
        {
            "node": node,
            "address": ring.addresses.get(node),
            **(_failed(got) if isinstance(got, DynamoError) else _answered(got, compared[node])),
        }
        for node, got in answers.items()
    ]
    return {
        "key": key,
        "partition": table.partition_of(key),
        "partitions": len(ring.owners),
        "epoch": ring.epoch,
        "preference_list": list(answers),
        "read_quorum": ring.r,
        "agree": all(r["state"] == State.CURRENT and not r["contradicts"] for r in replicas),
        "replicas": replicas,
        "hints": [
            {"node": node, "for": owner, **_held(copy)}
            for node, kept in hints.items()
            if not isinstance(kept, DynamoError)
            for owner, copy in kept.items()
        ],
        "merged": _held(reconcile(copies.values())),
    }


def _answered(copy: Siblings, comparison: Comparison) -> dict[str, Any]:
    return {
        "state": comparison.state.value,
        "reason": _reason(copy, comparison),
        "lacks": [_dot(version.dot) for version in comparison.lacks],
        "replaced": [_dot(version.dot) for version in comparison.replaced],
        "contradicts": [_dot(version.dot) for version in comparison.contradicts],
        **_held(copy),
    }


def _failed(error: DynamoError) -> dict[str, Any]:
    damaged = isinstance(error, CorruptData)
    reason = (
        "its copy fails its checksum; it is neither read nor written" if damaged else str(error)
    )
    nothing: dict[str, Any] = {"lacks": [], "replaced": [], "contradicts": [], **_held(EMPTY)}
    return {"state": DAMAGED if damaged else SILENT, "reason": reason, **nothing}


def _held(copy: Siblings) -> dict[str, Any]:
    return {
        "versions": [
            {
                "dot": _dot(version.dot),
                "tombstone": version.value is None,
                "size_bytes": len(version.value or b""),
                "written_at": version.written_at,
            }
            for version in copy.versions
        ],
        "context": dict(sorted(copy.context.items())),
    }


def _reason(copy: Siblings, comparison: Comparison) -> str:
    """Why this copy is not what all of them together are, in words."""
    if comparison.contradicts:
        return (
            f"holds something else than another replica under {_named(comparison.contradicts)}: "
            "one of the two is not what was written"
        )
    lacks = f"lacks {_named(comparison.lacks)}" if comparison.lacks else ""
    replaced = _named(comparison.replaced)
    still = f"still holds {replaced}, which was replaced" if replaced else ""
    match comparison.state:
        case State.CURRENT if copy == EMPTY:
            return "has never seen the key"
        case State.CURRENT if not comparison.knows_all:
            return "holds all that stands, and has not heard of every write that was replaced"
        case State.CURRENT:
            return "holds all that stands"
        case State.EMPTY:
            return f"has seen no write of the key; {lacks}"
        case State.CONCURRENT if lacks:
            lacks += ", written beside what it holds"
    return "; ".join(filter(None, (lacks, still)))


def _named(versions: Sequence[Version]) -> str:
    """The writes by their dots; the table beside it has their sizes and times."""
    names = (("the delete " if v.value is None else "") + _dot(v.dot) for v in versions)
    return " and ".join(names)


def _dot(dot: Dot) -> str:
    return f"{dot.actor}:{dot.counter}"


# As text -----------------------------------------------------------------------------------------


def print_text(explained: Mapping[str, Any]) -> None:
    """Print what `explain` found: where the key belongs, a table of versions, what it means."""
    click.echo(
        f"{explained['key']!r} is in partition {explained['partition']} of "
        f"{explained['partitions']} (epoch {explained['epoch']}); its replicas are "
        f"{', '.join(explained['preference_list'])}\n"
    )
    rows = (row for replica in explained["replicas"] for row in _rows(replica))
    show.table(("replica", "state", "holds", "size", "written", "dot"), rows)
    click.echo()
    for lines in (context_lines, reason_lines, hint_lines, verdict_lines):
        for line in lines(explained):
            click.echo(line)


def _rows(replica: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    """A row for each version; the replica is named in the first."""
    names = replica["node"], replica["state"]
    if not replica["versions"]:
        unknown = replica["state"] in (SILENT, DAMAGED)
        yield *names, "unknown" if unknown else "nothing", "", "", ""
    for version in replica["versions"]:
        size = "" if version["tombstone"] else show.size(version["size_bytes"])
        what = "tombstone" if version["tombstone"] else "value"
        yield *names, what, size, show.moment(version["written_at"]), version["dot"]
        names = " ", " "


def context_lines(explained: Mapping[str, Any]) -> Iterator[str]:
    """The contexts, each once, with the replicas that have it."""
    holders: dict[str, list[str]] = {}
    for replica in explained["replicas"]:
        if replica["context"]:
            text = ", ".join(f"{actor}:{count}" for actor, count in replica["context"].items())
            holders.setdefault(text, []).append(replica["node"])
    for text, nodes in holders.items():
        yield f"context of {', '.join(nodes)}: {text}"


def reason_lines(explained: Mapping[str, Any]) -> Iterator[str]:
    """Why replicas differ, for those that do; those with the same reason in one line."""
    nodes: dict[tuple[str, str], list[str]] = {}
    for replica in explained["replicas"]:
        if replica["state"] != State.CURRENT or replica["contradicts"]:
            nodes.setdefault((replica["state"], replica["reason"]), []).append(replica["node"])
    for (state, reason), names in nodes.items():
        yield f"{', '.join(names)} ({state}): {reason}"


def hint_lines(explained: Mapping[str, Any]) -> Iterator[str]:
    """What substitutes keep for replicas that were down, until these take it themselves."""
    for hint in explained["hints"]:
        node, owner = hint["node"], hint["for"]
        dots = (("the delete " if v["tombstone"] else "") + v["dot"] for v in hint["versions"])
        yield f"{node} keeps {' and '.join(dots)} for {owner}, with a hint, until {owner} has it"


def verdict_lines(explained: Mapping[str, Any]) -> Iterator[str]:
    """What all copies together come to, and what can be done."""
    states = {replica["state"] for replica in explained["replicas"]}
    outcome = _outcome(explained["merged"])
    if explained["agree"]:
        yield f"all {show.number_of(len(explained['replicas']), 'replica')} agree: {outcome}"
    elif states <= {SILENT, DAMAGED}:
        yield "no replica tells what it holds"
    else:
        yield f"together the copies come to this: {outcome}"
    if states & {State.BEHIND, State.EMPTY, State.CONCURRENT}:
        get = f", or at once by `dynamo get {shlex.quote(explained['key'])}`"
        asks_several = explained["read_quorum"] > 1  # a get that asks one replica repairs none
        yield f"will be repaired by anti-entropy{get if asks_several else ''}"
    if SILENT in states:
        yield "`dynamo status` shows who answers; `mapreduce up` starts what is down"
    if DAMAGED in states:
        yield _prospect_of_healing(explained["key"], explained["replicas"])


def _prospect_of_healing(key: str, replicas: Sequence[Mapping[str, Any]]) -> str:
    """What will become of a damaged copy."""
    if all(replica["state"] == DAMAGED for replica in replicas):
        return (
            "no other copy is left to heal it from: restore the node's disk from a backup, or give "
            f"the value up: `dynamo give-up {shlex.quote(key)}`"
        )
    return "a node heals its damaged copy from the other replicas, once enough of them answer"


def _outcome(merged: Mapping[str, Any]) -> str:
    live = [version for version in merged["versions"] if not version["tombstone"]]
    if not merged["context"]:
        return "the key was never written"
    if not live:
        return "the key is deleted"
    sizes = " and ".join(show.size(version["size_bytes"]) for version in live)
    if len(live) == 1:
        return f"one value of {sizes}"
    return f"{len(live)} siblings of {sizes}; a put with their context replaces them"
