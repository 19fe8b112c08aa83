"""Who owns which partition: tables of owners, made from the present one by moving little.

A good table is balanced (each member owns partitions // members, or one more) and *spread*: no two
partitions fewer than N apart around the ring have one owner, so that the first N places of every
preference list are N distinct nodes. Where two such neighbours coincide, a list reaches further
around the ring and the node after it holds more than its part.

A change is made in two steps. First the least that must move does: a member with more than its
share gives partitions away, evenly spaced around the ring, to those with less. Then neighbours
that still coincide are parted by exchanging two owners, each time by the exchange that parts most
and moves least (min-conflicts search with a tabu list: Minton et al. 1992, Glover 1989). So
shares are never touched again, and more than the least moves only where it parts neighbours.

Nothing here is drawn at random: every machine makes the same table from the same one.

Source: the Dynamo paper, section 6.2, strategy 3; the laws are those of Riak's claim.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import blake2b

PATIENCE = 40
"""Exchanges in a row that part no more neighbours, after which the search takes the best it saw."""
TENURE = 7
"""For so many exchanges a partition doesn't get back an owner that it has just lost."""


def claim(
    members: Sequence[str], partitions: int, n: int, present: Sequence[str] | None = None
) -> tuple[str, ...]:
    """A table of owners for `members`, made from the `present` table by moving little.

    Each member owns partitions // len(members) partitions, or one more. No two of `n` neighbours
    have one owner where the members allow it; for that, with hardly more than `n` members, a few
    more partitions may move than balance asks for. With `n` members or fewer each holds every key,
    so a change of owner moves no data, and the table may be made anew.

    >>> claim(["a", "b"], partitions=4, n=2)
    ('a', 'b', 'a', 'b')
    >>> claim(["a", "b", "c"], partitions=8, n=2, present=["a", "b", "a", "b", "a", "b", "a", "b"])
    ('a', 'c', 'a', 'b', 'c', 'b', 'a', 'b')
    """
    if not members:
        raise ValueError("a ring needs at least one member")
    order = sorted(set(members))
    if len(order) > partitions:
        raise ValueError(f"{len(order)} members can't share {partitions} partitions")
    if present and len(present) != partitions:
        raise ValueError(f"the present table has {len(present)} partitions, not {partitions}")
    changed = _changed_table(order, n, present) if present else None
    if changed and not coinciding(changed, n):
        return changed
    anew = _new_table(order, partitions, min(n, len(order)))
    return min(changed, anew, key=lambda owners: coinciding(owners, n)) if changed else anew


def replace(owners: Sequence[str], old: str, new: str) -> tuple[str, ...]:
    """The table in which `new` owns exactly what `old` owns in `owners`.

    >>> replace(["a", "b", "a", "c"], old="a", new="d")
    ('d', 'b', 'd', 'c')
    """
    if old not in owners:
        raise ValueError(f"{old} owns no partition, so nothing of it can be replaced")
    if new in owners:
        raise ValueError(f"{new} owns partitions already, so it can't take over those of {old}")
    return tuple(new if owner == old else owner for owner in owners)


def coinciding(owners: Sequence[str], n: int) -> int:
    """How many pairs of partitions fewer than `n` apart around the ring have one owner.

    With fewer than `n` members, pairs as far apart as there are members are not counted.

    >>> coinciding(["a", "b", "a", "c"], n=2), coinciding(["a", "b", "a", "c"], n=3)
    (0, 1)
    """
    spacing = min(n, len(set(owners)))
    table = _Table(owners, spacing)
    return sum(table.clashes(p, owner) for p, owner in enumerate(owners)) // 2


def _new_table(order: Sequence[str], partitions: int, spacing: int) -> tuple[str, ...]:
    """Rounds in which each member gets one partition, each round in an order of its own.

    With one order for all rounds a member would have the same neighbours everywhere, and they
    alone would have to do its work when it is down.
    """
    owners: list[str] = []
    for number in range(-(-partitions // len(order))):
        waiting = _shuffled(order, number) if number else list(order)
        while waiting and len(owners) < partitions:
            before = owners[max(0, len(owners) - spacing + 1) :]
            after = owners[: max(0, spacing - (partitions - len(owners)))]
            free = [member for member in waiting if member not in before]
            chosen = next((member for member in free if member not in after), free[0])
            waiting.remove(chosen)
            owners.append(chosen)
    return _parted(owners, owners, spacing)


def _shuffled(order: Sequence[str], number: int) -> list[str]:
    """`order` in the order of round `number`: by a hash, so it is the same on every machine."""
    return sorted(order, key=lambda member: blake2b(f"{number} {member}".encode()).digest())


def _changed_table(order: Sequence[str], n: int, present: Sequence[str]) -> tuple[str, ...] | None:
    """The `present` table after the least that must move did, its neighbours parted.

    None if members are so few that each holds every key, and not those of the present table.
    """
    shares = _shares(order, len(present), present)
    if len(order) <= n:
        return tuple(present) if Counter(present) == shares else None
    surplus = Counter(present)
    surplus.subtract(shares)
    table = _Table(present, n)
    for place, taker in enumerate(order):
        lacking = -surplus[taker]
        for number in range(lacking):
            # Not all begin at one place, else many small takers would crowd there.
            wish = number * len(present) // lacking + place * n
            given = _nearest_to_give(table, surplus, wish % len(present), taker)
            surplus[table.owners[given]] -= 1
            surplus[taker] += 1
            table.owners[given] = taker
    return _parted(table.owners, present, n)


def _shares(order: Sequence[str], partitions: int, present: Sequence[str]) -> Counter[str]:
    """How many partitions each member is to own; who owns most now gets what is left over."""
    owned = Counter(present)
    base, left_over = divmod(partitions, len(order))
    richest = set(sorted(order, key=lambda member: (-owned[member], member))[:left_over])
    return Counter({member: base + (member in richest) for member in order})


def _nearest_to_give(table: "_Table", surplus: Counter[str], wish: int, taker: str) -> int:
    """The partition nearest to `wish` that its owner has to give away and that suits `taker`."""
    unsuited = -1
    for partition in _outward(wish, len(table.owners)):
        if surplus[table.owners[partition]] > 0:
            if not table.clashes(partition, taker):
                return partition
            unsuited = partition if unsuited < 0 else unsuited
    return unsuited


def _outward(start: int, count: int) -> Iterator[int]:
    """All places of a ring of `count`, the nearest to `start` first.

    >>> list(_outward(1, 4))
    [1, 2, 0, 3]
    """
    return ((start + (step + 1) // 2 * (1 if step % 2 else -1)) % count for step in range(count))


def _parted(owners: Sequence[str], present: Sequence[str], spacing: int) -> tuple[str, ...]:
    """`owners` after the exchanges that part neighbours, each of which moves little."""
    table = _Table(owners, spacing)
    best, fewest = tuple(owners), coinciding(owners, spacing)
    now, waited, turn, partition = fewest, 0, 0, -1
    barred: dict[tuple[int, str], int] = {}
    while fewest and waited < PATIENCE:
        turn += 1
        partition = table.next_clash(partition)
        exchange = _best_exchange(table, present, partition, barred, turn, fewest - now)
        if exchange is None:
            waited += 1
            continue
        change, _, other = exchange
        for place in (partition, other):
            barred[place, table.owners[place]] = turn + TENURE
        table.exchange(partition, other)
        now, waited = now + change, waited + 1
        if now < fewest:
            best, fewest, waited = tuple(table.owners), now, 0
    return best


def _best_exchange(
    table: "_Table",
    present: Sequence[str],
    partition: int,
    barred: dict[tuple[int, str], int],
    turn: int,
    record: int,
) -> tuple[int, int, int] | None:
    """With whom `partition` best exchanges owners: (change of clashes, of moves, the other).

    What is barred is still done if it gives fewer clashes than there ever were: a change
    below `record`.
    """
    best = None
    mine = table.owners[partition]
    for other, theirs in enumerate(table.owners):
        if theirs == mine:
            continue
        change = table.change(partition, other)
        if best is not None and change > best[0]:
            continue
        is_barred = max(barred.get((partition, theirs), 0), barred.get((other, mine), 0)) >= turn
        if is_barred and change >= record:
            continue
        moves = (theirs != present[partition]) - (mine != present[partition])
        moves += (mine != present[other]) - (theirs != present[other])
        best = min(best or (change, moves, other), (change, moves, other))
    return best


class _Table:
    """Owners under change, and who clashes: has a partition closer than `spacing` to another."""

    def __init__(self, owners: Sequence[str], spacing: int) -> None:
        self.owners = list(owners)
        count = len(self.owners)
        steps = {step % count for step in range(1 - spacing, spacing)} - {0}
        self._near = [[(p + step) % count for step in steps] for p in range(count)]

    def clashes(self, partition: int, member: str) -> int:
        """How many partitions near `partition` are owned by `member`."""
        return [self.owners[near] for near in self._near[partition]].count(member)

    def next_clash(self, after: int) -> int:
        """The next partition around the ring whose owner clashes; there must be one."""
        count = len(self.owners)
        places = ((after + step) % count for step in range(1, count + 1))
        return next(place for place in places if self.clashes(place, self.owners[place]))

    def exchange(self, one: int, other: int) -> None:
        self.owners[one], self.owners[other] = self.owners[other], self.owners[one]

    def change(self, one: int, other: int) -> int:
        """How many clashes more there are after an exchange."""
        mine, theirs = self.owners[one], self.owners[other]
        before = self.clashes(one, mine) + self.clashes(other, theirs)
        self.exchange(one, other)
        after = self.clashes(one, theirs) + self.clashes(other, mine)
        self.exchange(one, other)
        return after - before
