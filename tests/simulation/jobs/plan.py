"""What a seed decides beforehand: workers, jobs, and how much of each kind of trouble there is."""

from dataclasses import dataclass, replace
from random import Random

ROUGH_S = 25.0
"""As long does the trouble last; after it the world behaves, and what still runs must end."""
SKIPPING_AFTER = 2
"""Bad records are skipped when a task has failed so often."""
BIG_EVERY = 250
"""One seed of so many has 10,000 tasks."""

TROUBLE = {
    "losses": "reports and answers that get lost, late or twice",
    "crashes": "workers that die with all they had and come back",
    "deaths": "workers that die for good",
    "stalls": "workers that say nothing for a while",
    "failures": "tasks that raise now and then",
    "stragglers": "attempts that take twenty times as long",
    "deadly": "attempts that bring their worker down",
    "gone": "pieces of finished maps that can't be read any more",
    "walls": "two workers of three or more that can't read each other's pieces",
    "wishes": "people who kill, pause and resume jobs, kill tasks, drain workers",
    "masters": "leaders that die, or go on as if they still led",
    "commits": "commits that fail",
}


@dataclass(frozen=True)
class WorkerPlan:
    name: str
    node: str
    host: str
    slots: int
    speed: float
    ahead: int
    """So many attempts may wait for a slot."""


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """A job as its user gives it, and what is wrong with its input."""

    name: str
    starts_at: float
    salt: int
    map_nodes: tuple[tuple[str, ...], ...]
    reduce_nodes: tuple[tuple[str, ...], ...]
    max_attempts: int = 4
    priority: float = 1.0
    max_running: int = 0
    slow_start: float = 1.0
    backups: bool = False
    bad_maps: frozenset[int] = frozenset()
    """Map tasks with a bad record."""
    skips: bool = False
    """True: bad records may be skipped, after some failures."""

    @property
    def maps(self) -> int:
        return len(self.map_nodes)

    @property
    def reduces(self) -> int:
        return len(self.reduce_nodes)

    @property
    def hopeless(self) -> bool:
        return bool(self.bad_maps) and (not self.skips or self.max_attempts <= SKIPPING_AFTER)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A world. What is counted happens so often at random times; the others are probabilities."""

    seed: int
    workers: tuple[WorkerPlan, ...]
    jobs: tuple[JobPlan, ...]
    task_s: float = 0.7
    """What a task takes on average."""
    rough_s: float = ROUGH_S
    bound_s: float = 90.0
    """Within this time after the trouble every job has ended."""
    max_losses: int = 1000
    losses: float = 0.0
    crashes: int = 0
    deaths: int = 0
    stalls: int = 0
    failures: float = 0.0
    stragglers: float = 0.0
    deadly: float = 0.0
    gone: int = 0
    walls: frozenset[frozenset[str]] = frozenset()
    """Pairs of workers; while the world is rough."""
    wishes: int = 0
    masters: int = 0
    commits: float = 0.0

    def without(self, *kinds: str) -> "Plan":
        """The same world without some kinds of trouble."""
        nothing: dict[str, object] = {**dict.fromkeys(kinds, 0)}
        if "walls" in kinds:
            nothing["walls"] = frozenset()
        return replace(self, **nothing)  # type: ignore[arg-type]

    @classmethod
    def drawn(cls, seed: int) -> "Plan":
        """The world of a seed: about half of the kinds of trouble are in each."""
        dice = Random(seed)
        if seed % BIG_EVERY == 0:
            return big(seed, dice)

        def some(*amounts: float) -> float:
            return dice.choice((0, *amounts)) if dice.random() < 0.7 else 0

        workers = _workers(dice, dice.randint(1, 6))
        return cls(
            seed=seed,
            workers=workers,
            jobs=tuple(_job(dice, f"job{i}") for i in range(dice.randint(1, 4))),
            max_losses=dice.choice((1000, 1000, 8)),
            losses=some(0.02, 0.1),
            crashes=int(some(1, 3, 8)),
            deaths=int(some(1, 2)),
            stalls=int(some(1, 3, 8)),
            failures=some(0.02, 0.15),
            stragglers=some(0.02, 0.1),
            deadly=some(0.01, 0.05),
            gone=int(some(1, 4, 10)),
            wishes=int(some(1, 4, 8)),
            masters=int(some(1, 2, 4)),
            commits=some(0.3),
            walls=_walls(dice, workers) if dice.random() < 0.3 else frozenset(),
        )


def big(seed: int, dice: Random, tasks: int = 10_000) -> Plan:
    """Many workers, and a job of many tasks beside a few small ones; a little of all trouble."""
    reduces = 20
    long = _job(dice, "long", starts_at=0.0, maps=tasks - reduces, reduces=reduces, bad=0.0)
    return Plan(
        seed=seed,
        workers=_workers(dice, 60),
        jobs=(long, *(_job(dice, f"job{i}", bad=0.0) for i in range(3))),
        bound_s=600.0,
        losses=0.01,
        crashes=12,
        deaths=3,
        stalls=12,
        failures=0.001,
        stragglers=0.005,
        gone=20,
        masters=1,
    )


def cramped(seed: int) -> Plan:
    """Few slots, and reduces that may take them all while workers die with the last maps."""
    dice = Random(seed)
    workers = (replace(worker, slots=1, ahead=0) for worker in _workers(dice, 2))
    job = _job(dice, "job", starts_at=0.0, maps=4, reduces=2, bad=0.0)
    job = replace(job, slow_start=0.05, max_running=0)
    return Plan(seed=seed, workers=tuple(workers), jobs=(job,), task_s=3.0, deaths=1)


def walled(seed: int) -> Plan:
    """Two workers don't reach each other and the third reaches both; nothing else goes wrong."""
    dice = Random(seed)
    workers = _workers(dice, 3)
    job = _job(dice, "job", starts_at=0.0, maps=6, reduces=3, bad=0.0)
    job = replace(
        job,
        map_nodes=tuple((f"n{i % 3}",) for i in range(6)),
        reduce_nodes=tuple((f"n{i}",) for i in range(3)),
        max_attempts=2,
        max_running=0,
        backups=False,
    )
    walls = _walls(dice, workers)
    return Plan(seed=seed, workers=workers, jobs=(job,), walls=walls, rough_s=300.0, max_losses=8)


def crowded(seed: int) -> Plan:
    """One job that has work for all, and small ones that come later; nothing goes wrong."""
    dice = Random(seed)
    small = (
        _job(dice, f"small{i}", starts_at=dice.uniform(3.0, 15.0), maps=3, reduces=2, bad=0.0)
        for i in range(3)
    )
    jobs = (_job(dice, "long", starts_at=0.0, maps=300, reduces=2, bad=0.0), *small)
    same = (replace(job, priority=1.0, max_running=0) for job in jobs)
    return Plan(seed=seed, workers=_workers(dice, 4), jobs=tuple(same))


def _walls(dice: Random, workers: tuple[WorkerPlan, ...]) -> frozenset[frozenset[str]]:
    if len(workers) < 3:
        return frozenset()
    return frozenset({frozenset(worker.name for worker in dice.sample(workers, 2))})


def _workers(dice: Random, count: int) -> tuple[WorkerPlan, ...]:
    return tuple(
        WorkerPlan(
            name=f"w{i}",
            node=f"n{i}",
            host=f"h{i // 2}",
            slots=dice.randint(1, 4),
            speed=dice.choice((1.0, 1.0, 0.5)),
            ahead=dice.choice((0, 0, 2)),
        )
        for i in range(count)
    )


def _job(
    dice: Random,
    name: str,
    starts_at: float | None = None,
    maps: int | None = None,
    reduces: int | None = None,
    bad: float = 0.15,
) -> JobPlan:
    maps = dice.randint(0, 10) if maps is None else maps
    reduces = dice.randint(0, 3) if reduces is None else reduces
    bad_maps = frozenset({dice.randrange(maps)} if maps and dice.random() < bad else ())
    return JobPlan(
        name=name,
        starts_at=dice.uniform(0.0, 15.0) if starts_at is None else starts_at,
        salt=dice.randrange(1000),
        map_nodes=_places(dice, maps),
        reduce_nodes=_places(dice, reduces),
        max_attempts=dice.choice((2, 4, 4, 6)),
        priority=dice.choice((1.0, 1.0, 2.0, 0.5)),
        max_running=dice.choice((0, 0, 0, 1, 3)) if maps < 100 else 0,
        slow_start=dice.choice((1.0, 0.05, 0.5)),
        backups=dice.random() < 0.7,
        bad_maps=bad_maps,
        skips=dice.random() < 0.7,
    )


def _places(dice: Random, count: int) -> tuple[tuple[str, ...], ...]:
    """For each task the nodes that hold its data: none, one, or some; some have no worker."""
    nodes = [f"n{i}" for i in range(8)]
    return tuple(tuple(dice.sample(nodes, dice.randint(0, 3))) for _ in range(count))
