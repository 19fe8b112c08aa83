"""The ladder diagram of a small run."""

from itertools import count

import pytest

from dynamo.protocol.messages import Envelope, Get, GetDone
from dynamo.simulation import ladder
from dynamo.simulation.__main__ import main
from dynamo.simulation.history import Operation
from dynamo.simulation.network import Note, Passage
from dynamo.simulation.plan import Plan
from dynamo.simulation.workload import VirtualClient
from dynamo.simulation.world import World
from dynamo.values import versions

PUT_AND_GET = """\
      sent   arrived  c1       n1       n2       n3
               0.000  |        #        |        |        n1 starts
               0.000  |        |        #        |        n2 starts
               0.000  |        |        |        #        n3 starts
  1000.000  1000.956  o------->|        |        |        Put colour=green blind
  1003.762  1008.096  |        o---------------->|        StoreCopy colour green
  1003.762  1013.050  |        o------->|        |        StoreCopy colour green
  1011.386  1014.121  |        |<----------------o        CopyStored
  1014.121  1016.600  |<-------o        |        |        PutDone on n3,n1
  1016.600  1019.331  o------------------------->|        Get colour
  1017.722  1020.034  |        |<-------o        |        CopyStored
  1019.331  1023.135  |        |<----------------o        FetchCopy colour
  1023.135  1024.109  |        o---------------->|        CopyFetched green
  1019.331  1024.115  |        |        |<-------o        FetchCopy colour
  1024.115  1024.967  |        |        o------->|        CopyFetched green
  1024.109  1025.998  |<-------------------------o        GetDone green by n3,n1"""


def small_world() -> World:
    world = World(Plan(seed=1, slow=0.3, slow_s=0.01))
    world.clock.run(for_s=1.0)  # the nodes have met
    client = VirtualClient("c1", world, count(1), pause_s=0.0)
    client.follow(iter([Operation("put", "colour", b"green"), Operation("get", "colour")]))
    world.clock.run(for_s=1.0)
    return world


def test_a_put_and_a_get() -> None:
    drawn = ladder.draw(small_world().trace, ["c1", "n1", "n2", "n3"])
    assert "\n".join(drawn) == PUT_AND_GET


def test_five_participants_fit_100_columns() -> None:
    lines = ladder.draw(small_world().trace, ["c1", "n1", "n2", "n3", "reader"])
    assert max(map(len, lines)) <= 100


def test_what_does_not_arrive_and_who_is_down() -> None:
    get, done = Get(1, "colour"), GetDone(1, versions.EMPTY, ("n1",))
    trace: list[Passage | Note] = [
        Note(0.0, "n1", "starts"),
        Passage(0.001, 0.001, Envelope("c1", "n1", get), "lost"),
        Note(0.002, "n1", "crashes"),
        Passage(0.002, 0.003, Envelope("c1", "n1", get), "nobody there"),
        Note(0.004, "n1", "starts"),
        Passage(0.005, 0.006, Envelope("n1", "c1", done), ""),
    ]
    assert list(ladder.draw(trace, ["c1", "n1"]))[1:] == [
        "               0.000  |        #        n1 starts",
        "     1.000      lost  o--------x        Get colour",
        "               2.000  |        #        n1 crashes",
        "     2.000     3.000  o--------x        Get colour (nobody there)",
        "               4.000  |        #        n1 starts",
        "     5.000     6.000  |<-------o        GetDone nothing by n1",
    ]


def test_one_key_alone_with_the_replies_that_belong_to_it() -> None:
    trace: list[Passage | Note] = [
        Passage(0.0, 0.1, Envelope("c1", "n1", Get(1, "colour")), ""),
        Passage(0.0, 0.1, Envelope("c1", "n1", Get(2, "shape")), ""),
        Passage(0.2, 0.3, Envelope("n1", "c1", GetDone(2, versions.EMPTY, ("n1",))), ""),
        Passage(0.2, 0.4, Envelope("n1", "c1", GetDone(1, versions.EMPTY, ("n1",))), ""),
    ]
    drawn = list(ladder.draw(trace, ["c1", "n1"], key="colour"))
    assert [line.split()[-4:] for line in drawn[1:]] == [
        ["0.000", "100.000", "o------->|", "Get", "colour"][-4:],
        ["GetDone", "nothing", "by", "n1"],
    ]


def test_contexts_name_nodes_and_mark_the_later_lives_of_a_copy() -> None:
    one = versions.update(versions.EMPTY, None, "n1-7f3-1", b"green", 1.0)
    two = versions.update(one, one.context, "n1-9a2-1", b"blue", 2.0)
    trace: list[Passage | Note] = [
        Passage(0.0, 0.1, Envelope("n1", "c1", GetDone(1, one, ("n1",))), ""),
        Passage(0.2, 0.3, Envelope("n1", "c1", GetDone(2, two, ("n1",))), ""),
    ]
    drawn = list(ladder.draw(trace, ["c1", "n1"], contexts=True))
    assert [line.partition("by ")[2] for line in drawn[1:]] == ["n1 {n1:1}", "n1 {n1:1 n1':1}"]


def test_many_seeds_print_how_far_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "3", "--seeds", "2"]) == 0
    assert "2 of 2 seeds, 0 with violations" in capsys.readouterr().out
