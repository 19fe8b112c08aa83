"""A line in the log for each change of a node's state, once.

The protocol logs nothing: after each step its state is compared with that after the step before.
What comes and goes with single requests (refusals, hints that are delivered at once) is taken for
one episode until it has been quiet for `QUIET_S`, so no line is a request's.
"""

import logging
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from dynamo.protocol.node import Node
from dynamo.values.cluster import Phase, Table

log = logging.getLogger("dynamo.node")

QUIET_S = 10.0
START_S = 2.0
"""How long a node that starts tells of nobody who is down: those that start with it are, too."""
REFUSALS = {
    "overloaded": "refuses requests, because more wait than it can take",
    "quorum": "fails requests, because too few replicas answer",
}
"""The reasons of refusals that are a state of the node or its cluster, and no caller's mistake."""


class Episode:
    """Something that goes on."""

    def __init__(self, began: float, counted_before: int) -> None:
        self.began = began
        self.counted_before = counted_before
        self.over_at = math.inf
        """When it will have been quiet for long enough; infinite while it is not quiet."""


class Watch:
    """Watches the node `name`. All times have one origin and never go back."""

    def __init__(self, name: str, now: float) -> None:
        self._name = name
        self._began = now
        self._up: Collection[str] | None = None
        self._down: dict[str, float] = {}
        """Members that are taken to be down -> since when."""
        self._heard: dict[str, float] = {}
        self._gone: set[str] = set()
        """Members whose connection has ended, and that have not been heard of since."""
        self._hints: dict[str, Episode] = {}
        self._refusals: dict[str, Episode] = {}
        self._refused: Counter[str] = Counter()
        self._table: Table | None = None
        self._is_member = True
        self._misconfigured = ""
        self._damage: dict[str, Episode] = {}
        """One episode at most."""
        self._healed = self._given_up = 0

    def heard(self, member: str, now: float) -> None:
        """Something has come from `member`."""
        self._heard[member] = now
        self._gone.discard(member)

    def gone(self, member: str) -> None:
        """The connection to `member` has ended, or nothing listens where it should be."""
        self._gone.add(member)

    def look(self, node: Node, refused: Mapping[str, int], now: float) -> None:
        """Tell what has changed since the last look; `refused` counts refusals by their reason."""
        if node.members.up is not self._up and (node.gossip.settled or now > self._began + START_S):
            self._look_at_members(node.members.status(), now)
            self._up = node.members.up
        if node.view.table is not self._table:
            self._look_at_ring(node)
        self._look_at_hints(node.handoff.kept.keys(), node.handoff.delivered, now)
        self._look_at_refusals(refused, now)
        self._look_at_damage(node.healing.waiting, node.healing.healed, now)
        self._look_at_given_up(node.healing.given_up)

    def begin_again(self) -> None:
        """Another node has taken over, which counts what it delivers anew."""
        self._hints.clear()
        self._damage.clear()
        self._healed = self._given_up = 0

    def next_look(self) -> float | None:
        """When to look again even if nothing happens; None for never."""
        episodes = [*self._hints.values(), *self._refusals.values(), *self._damage.values()]
        at = min((episode.over_at for episode in episodes), default=math.inf)
        return None if at == math.inf else at

    def status(self, now: float) -> dict[str, Any]:
        """For how long members have been silent, and for how long they were taken to be down."""
        return {
            "silent_s": {member: now - at for member, at in self._heard.items()},
            "down_s": {member: now - since for member, since in self._down.items()},
        }

    def _look_at_ring(self, node: Node) -> None:
        before, table = self._table or node.view.table, node.view.table
        self._table = table
        if (table.rank.epoch, table.phase) != (before.rank.epoch, before.phase):
            self._say(logging.INFO, f"ring epoch {table.rank.epoch}: {_news(before, table)}")
        if table.staged and table.staged != before.staged:
            planned = ", ".join(map(str, table.staged))
            self._say(logging.INFO, f"planned is now ({table.rank}): {planned}")
        self._look_at_itself(table)
        if node.misconfigured != self._misconfigured:
            self._misconfigured = node.misconfigured
            self._say(logging.WARNING, node.misconfigured)

    def _look_at_itself(self, table: Table) -> None:
        is_member = self._name in table.members
        if not is_member and self._is_member:
            members = ", ".join(table.members)
            self._say(
                logging.WARNING,
                f"is no member of the cluster of {members}; it passes requests on. "
                f"`dynamo join {self._name}` makes it one",
            )
        self._is_member = is_member

    def _look_at_members(self, members: Mapping[str, bool], now: float) -> None:
        for member, up in members.items():
            if not up and member not in self._down:
                self._down[member] = now
                self._say(
                    logging.WARNING, f"takes {member} to be down: {self._silence(member, now)}"
                )
            elif up and member in self._down:
                away_s = now - self._down.pop(member)
                self._say(logging.INFO, f"{member} is back, after {away_s:.1f} s")

    def _silence(self, member: str, now: float) -> str:
        gone = member in self._gone
        if member in self._heard:
            what = "its process has gone" if gone else "it does not answer"
            return f"{what}, and was last heard of {now - self._heard[member]:.1f} s ago"
        what = "nothing listens at its address" if gone else "it has not answered"
        return f"{what} since this node started, {now - self._began:.1f} s ago"

    def _look_at_hints(
        self, owners: Collection[str], delivered: Mapping[str, int], now: float
    ) -> None:
        for owner in owners:
            if owner not in self._hints:
                self._hints[owner] = Episode(now, delivered.get(owner, 0))
                self._say(logging.INFO, f"keeps copies for {owner}, until it takes them itself")
            self._hints[owner].over_at = math.inf
        for owner, episode in self._hints.items():
            if owner not in owners and episode.over_at == math.inf:
                episode.over_at = now + QUIET_S
        for owner, episode in _over(self._hints, now):
            count = delivered.get(owner, 0) - episode.counted_before
            took_s = episode.over_at - QUIET_S - episode.began
            self._say(
                logging.INFO,
                f"keeps no more copies for {owner}: delivered {count:,}, the last {took_s:.1f} s "
                "after the first was kept",
            )

    def _look_at_refusals(self, refused: Mapping[str, int], now: float) -> None:
        for reason, words in REFUSALS.items():
            before, count = self._refused[reason], refused.get(reason, 0)
            if count > before:
                if reason not in self._refusals:
                    self._refusals[reason] = Episode(now, before)
                    self._say(logging.WARNING, words)
                self._refusals[reason].over_at = now + QUIET_S
                self._refused[reason] = count
        for reason, episode in _over(self._refusals, now):
            count = self._refused[reason] - episode.counted_before
            took_s = episode.over_at - QUIET_S - episode.began
            self._say(
                logging.INFO,
                f"has answered as it should for {QUIET_S:.0f} s ({reason}: {count:,} requests "
                f"within {took_s:.1f} s)",
            )

    def _look_at_damage(self, waiting: int, healed: int, now: float) -> None:
        before = self._damage.get("healed")
        if waiting or healed > self._healed:
            if before is None:
                self._damage["healed"] = before = Episode(now, self._healed)
                self._say(
                    logging.WARNING,
                    "has met copies that fail their checksums, refuses them, and heals them from "
                    "the other replicas",
                )
            before.over_at = math.inf if waiting else now + QUIET_S
        self._healed = healed
        for _, episode in _over(self._damage, now):
            count = healed - episode.counted_before
            self._say(
                logging.INFO, f"has no damaged copy any more that it knows of: healed {count:,}"
            )

    def _look_at_given_up(self, given_up: int) -> None:
        if given_up > self._given_up:
            self._say(
                logging.WARNING,
                f"has dropped {given_up - self._given_up:,} damaged copies, as it was told: nobody "
                "else had a whole one",
            )
        self._given_up = given_up

    def _say(self, level: int, text: str) -> None:
        log.log(level, "%s: %s", self._name, text)


def _news(before: Table, table: Table) -> str:
    """What has become of the ring, in words."""
    if table.phase is not Phase.STABLE:
        return f"{table.phase} for {table.change}"
    joined = sorted(set(table.owners) - set(before.owners))
    left = [name for name in before.members if name not in table.members]
    news: list[str] = []
    if before.rank.epoch:  # else these are the first that this node hears of
        news += [f"{name} has joined" for name in joined] + [f"{name} has left" for name in left]
    news += [f"{name} hands over what it still has" for name in table.leaving]
    return "; ".join(["stable", *news, f"members {', '.join(table.members)}"])


def _over(episodes: dict[str, Episode], now: float) -> Iterator[tuple[str, Episode]]:
    """Take out the episodes that are over."""
    for name in [name for name, episode in episodes.items() if episode.over_at <= now]:
        yield name, episodes.pop(name)
