"""What one seed stands for: how large the world is and what goes wrong in it."""

from dataclasses import dataclass, replace
from random import Random

from dynamo.protocol.settings import Settings

FAULTS = {
    "loss": "envelopes never arrive",
    "duplication": "envelopes arrive twice",
    "slow": "envelopes are held up, so that later ones overtake them",
    "crashes": "a machine crashes, half of the time with what it had not synced, and restarts",
    "outages": "a machine is down for so long that the others notice",
    "blackouts": "all machines crash at once",
    "cuts": "a node is cut off from everybody",
    "splits": "the nodes fall into two groups that don't hear each other",
    "one_way_cuts": "a node no longer hears one other, or any, and is heard itself",
    "broken_links": "two nodes can't talk, and both reach all others",
    "slowdowns": "a machine is late with every step and every commit",
    "pauses": "a machine stands still, as with SIGSTOP, then finds all that came meanwhile",
    "clock_jumps": "a machine's wall clock is seconds to hours off",
    "bit_flips": "a bit of a stored copy is another one",
    "full_disks": "a disk refuses every commit",
    "old_disks": "a machine restarts with an old copy of its disk",
    "changes": "machines join, leave, take another's place, or die for good",
    "clock_skew_s": "a client's clock is off",
    "careless": "writes ask for no fsync",
}
"""Each kind of fault: the field of `Plan` that says how much of it there is, and what it does."""


def stream(seed: int, name: str) -> Random:
    """A generator for one part of the world, so that no part's draws shift another's.

    >>> stream(1, "network").random() == stream(1, "network").random()
    True
    >>> stream(1, "network").random() == stream(1, "disks").random()
    False
    """
    return Random(f"{seed}/{name}")


class Steady(Random):
    """Chance that always falls in the middle, so that all delays of a kind are equal."""

    def random(self) -> float:
        return 0.5


@dataclass(frozen=True)
class Plan:
    """One world. Shares are between 0 and 1, times in virtual seconds."""

    seed: int
    nodes: int = 3
    clients: int = 3
    keys: int = 3
    operations: int = 20
    """Operations of each client."""
    pause_s: float = 0.05
    """A client's mean pause between two operations."""
    loss: float = 0.0
    """Share of envelopes that never arrive."""
    duplication: float = 0.0
    """Share of envelopes that arrive twice."""
    slow: float = 0.0
    """Share of envelopes that are held up, so that later ones overtake them."""
    slow_s: float = 1.0
    """How long, at most."""
    crashes: int = 0
    blackouts: int = 0
    """How often all nodes crash at once."""
    cuts: int = 0
    """How often one node is cut off from all others for a while."""
    faults_last_s: float = 3.0
    """Crashes and cuts happen before this time."""
    commit_s: float = 0.01
    """How long a commit with fsync takes, at most."""
    clock_skew_s: float = 0.0
    """How far a client's clock is off, at most, either way."""
    careless: float = 0.0
    """Share of writes with durable=False."""
    expiring: float = 0.0
    """Share of puts with a time to live."""
    conditional: float = 0.0
    """Share of puts that are to happen only if nothing is there, or nothing new."""
    passing: int = 0
    """Keys, besides the others, whose values are ephemeral."""
    splits: int = 0
    one_way_cuts: int = 0
    broken_links: int = 0
    slowdowns: int = 0
    pauses: int = 0
    clock_jumps: int = 0
    bit_flips: int = 0
    full_disks: int = 0
    old_disks: int = 0
    changes: int = 0
    """How often machines join, leave, take another's place, or die for good."""
    outages: int = 0
    """How often one node is down for so long that the others notice."""
    resets: float = 0.5
    """Share of requests to a node that is down of which the sender's shell tells it at once."""
    steady: bool = False
    """All envelopes take one time and all commits another: for stories that are told again."""
    settings: Settings = Settings(
        n=3,
        r=2,
        w=2,
        timeout_s=2.0,
        resend_s=0.3,
        suspect_s=0.3,
        ping_s=0.3,
        handoff_batch=3,
        repair_wait_s=0.4,
        anti_entropy_s=8.0,
        clock_slack_s=2.0,
    )

    @classmethod
    def drawn(cls, seed: int) -> "Plan":
        """The plan of a seed: each kind of fault is there in some seeds and missing in others."""
        draw = stream(seed, "plan")
        r, w = draw.choice(((2, 2), (2, 2), (2, 2), (1, 3)))
        plan = cls(
            seed=seed,
            nodes=draw.randint(3, 6),
            clients=draw.randint(2, 6),
            keys=draw.randint(1, 4),
            operations=draw.randint(15, 60),
            pause_s=draw.choice((0.005, 0.02, 0.1)),
            loss=draw.choice((0.0, 0.02, 0.1)),
            duplication=draw.choice((0.0, 0.03, 0.1)),
            slow=draw.choice((0.0, 0.03, 0.2)),
            slow_s=draw.choice((0.1, 1.0)),
            crashes=draw.choice((0, 4, 8, 16)),
            blackouts=draw.choice((0, 0, 2, 8)),
            cuts=draw.choice((0, 0, 3)),
            outages=draw.choice((0, 2, 5)),
            resets=draw.choice((0.0, 0.5, 1.0)),
            commit_s=draw.choice((0.005, 0.02, 0.1)),
            clock_skew_s=draw.choice((0.0, 0.0, 0.2)),
            settings=replace(cls.settings, r=r, w=w),
            careless=draw.choice((0.0, 0.0, 0.3)),
            splits=draw.choice((0, 0, 1, 3)),
            one_way_cuts=draw.choice((0, 0, 1, 4)),
            broken_links=draw.choice((0, 0, 1, 4)),
            slowdowns=draw.choice((0, 0, 2)),
            pauses=draw.choice((0, 0, 1, 4)),
            clock_jumps=draw.choice((0, 0, 4)),
            bit_flips=draw.choice((0, 0, 3, 10)),
            full_disks=draw.choice((0, 0, 2)),
            old_disks=draw.choice((0, 0, 1, 3)),
        )
        # With many keys a write is seldom followed by another, which would bring its replicas up.
        plan = replace(plan, changes=draw.choice((0, 0, 0, 1, 2, 4)))
        plan = replace(plan, keys=draw.choice((plan.keys, plan.keys, plan.keys, 30)))
        plan = replace(
            plan,
            expiring=draw.choice((0.0, 0.0, 0.3)),
            conditional=draw.choice((0.0, 0.0, 0.4)),
            passing=draw.choice((0, 0, 1, 2)),
        )
        if r == 1:  # then a node that hears nobody, and is not told of its loss, answers alone
            plan = replace(plan, old_disks=0)
        return plan.scrubbed() if plan.bit_flips else plan

    def stream(self, name: str) -> Random:
        """The generator for one part of this world."""
        return Steady(f"{self.seed}/{name}") if self.steady else stream(self.seed, name)

    def scrubbed(self) -> "Plan":
        """The same world, in which damage that nobody meets is found in time."""
        return replace(self, settings=replace(self.settings, rebuild_s=6.0))

    @property
    def faults(self) -> list[str]:
        """The kinds of faults there are in this world."""
        return [kind for kind in FAULTS if getattr(self, kind)]

    @property
    def node_names(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.nodes + 1)]

    @property
    def spare_names(self) -> list[str]:
        """Machines that run and are no members: they may join."""
        spares = 3 if self.changes else 0
        return [f"n{number}" for number in range(self.nodes + 1, self.nodes + spares + 1)]

    @property
    def machine_names(self) -> list[str]:
        return self.node_names + self.spare_names

    @property
    def client_names(self) -> list[str]:
        return [f"c{number}" for number in range(1, self.clients + 1)]

    @property
    def lasting_names(self) -> list[str]:
        """Keys of values that are to last."""
        return [f"key{number}" for number in range(1, self.keys + 1)]

    @property
    def passing_names(self) -> list[str]:
        """Keys of ephemeral values."""
        return [f"key~{number}" for number in range(1, self.passing + 1)]

    @property
    def key_names(self) -> list[str]:
        return self.lasting_names + self.passing_names
