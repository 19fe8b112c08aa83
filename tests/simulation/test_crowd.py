"""Many nodes in one world agree and share evenly; `benchmarks/scale.py` measures what it takes."""

from collections import Counter
from functools import partial

from dynamo.simulation.crowd import Crowd
from dynamo.values.cluster import Phase, Table
from dynamo.values.moves import moves


def is_balanced(table: Table) -> bool:
    shares = Counter(table.owners)
    least = len(table.owners) // len(table.members)
    return all(shares[member] in (least, least + 1) for member in table.members)


def test_a_thousand_nodes_that_start_at_once_meet_and_share_the_partitions_evenly() -> None:
    crowd = Crowd(nodes=1000, partitions=2048)
    crowd.until(crowd.has_settled)
    table = crowd.table
    assert crowd.has_come_to(Phase.STABLE, epoch=1)
    assert len({machine.view.table for machine in crowd.members if machine.view}) == 1
    assert len(crowd.members) == 1000
    assert is_balanced(table)


def test_a_hundred_nodes_take_one_more_in_and_only_what_is_its_own_moves() -> None:
    crowd = Crowd(nodes=100, partitions=1024)
    crowd.until(crowd.has_settled)
    before = crowd.table
    crowd.stage_join()
    crowd.commit()
    for epoch, phase in enumerate((Phase.FILLING, Phase.SWITCHING, Phase.STABLE), start=2):
        crowd.until(partial(crowd.has_come_to, phase, epoch))
    crowd.until(crowd.agrees)
    after = crowd.table
    assert crowd.spare in after.members
    assert is_balanced(before) and is_balanced(after)
    moved = [new for old, new in zip(before.owners, after.owners) if old != new]
    assert moved == [crowd.spare] * (1024 // 101)
    takers = {node for move in moves(before.reading, after.reading, 3) for node in move.takers}
    assert takers == {crowd.spare}


def test_at_rest_a_node_says_no_more_in_a_large_cluster_than_in_one_half_its_size() -> None:
    def said_each_second(nodes: int) -> float:
        crowd = Crowd(nodes, partitions=16 * nodes)
        crowd.until(lambda: crowd.has_settled() and crowd.agrees())
        crowd.rest(5.0)
        crowd.traffic.clear()
        crowd.rest(20.0)
        return crowd.traffic.messages.total() / nodes / 20.0

    assert said_each_second(128) < 1.2 * said_each_second(64)


def test_a_node_that_is_cut_off_is_found_to_be_down_by_all_who_share_something_with_it() -> None:
    crowd = Crowd(nodes=32, partitions=256)
    crowd.until(crowd.has_settled)
    sharers = set(crowd.sharers("n5"))
    crowd.cut_off("n5")
    rounds_s, silence_s = 10.0, 5.0
    crowd.until(lambda: sharers <= crowd.take_to_be_down("n5"), limit_s=rounds_s + 2 * silence_s)
    assert 2 < len(sharers) < 31
