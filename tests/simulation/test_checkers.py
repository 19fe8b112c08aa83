"""The rules, each on a history small enough to read."""

from collections import Counter
from dataclasses import replace

from dynamo.simulation.checkers import (
    differing_copies,
    false_siblings,
    forgotten_hints,
    invented_values,
    lost_writes,
    misplaced_copies,
    not_converged,
    resurrected,
    thin_writes,
    wrong_lists,
)
from dynamo.simulation.history import History, Operation
from dynamo.simulation.plan import Plan
from dynamo.simulation.run import simulate
from dynamo.simulation.writes import Violation, Writes
from dynamo.values.versions import EMPTY, Dot, Siblings, Version

OWNERS = ("n1", "n2", "n3")


class Story:
    """Operations on one key, one second each, one after the other."""

    def __init__(self) -> None:
        self.history = History()

    def put(self, value: bytes | None, *saw: Operation, **changes: object) -> Operation:
        """A write that has seen others; with nothing seen it carries an empty context."""
        context = {f"actor of {op.number}": 1 for op in saw}
        kind = "put" if value is not None else "delete"
        operation = Operation(kind, "key", value, context, tuple(op.written_at for op in saw))
        return self._done(operation, changes)

    def blind(self, value: bytes | None, **changes: object) -> Operation:
        kind = "put" if value is not None else "delete"
        return self._done(Operation(kind, "key", value), changes)

    def get(self, *found: Operation, **changes: object) -> Operation:
        versions = tuple(
            Version(Dot(f"actor of {op.number}", 1), op.value, op.written_at) for op in found
        )
        siblings = Siblings({version.dot.actor: 1 for version in versions}, versions)
        return self._done(Operation("get", "key", siblings=siblings), changes)

    def lists(self, *keys: str, **changes: object) -> Operation:
        return self._done(Operation("list", "k", listed=[*keys]), changes)

    def _done(self, operation: Operation, changes: dict[str, object]) -> Operation:
        self.history.begin(operation, float(len(self.history.operations)), 0.0)
        operation.ended_at = operation.began_at + 0.9
        operation.succeeded = True
        operation.nodes = OWNERS[:2]
        if operation.kind in ("put", "delete"):
            self.history.deliveries["key", operation.written_at] += 1
        for name, value in changes.items():
            setattr(operation, name, value)
        return operation

    @property
    def gets(self) -> list[Operation]:
        return list(self.history.of_kind("get"))

    def lost(self) -> list[Violation]:
        return list(lost_writes("key", Writes("key", self.history), self.gets, OWNERS, 2))

    def false_siblings(self) -> list[Violation]:
        writes = Writes("key", self.history)
        return list(false_siblings("key", writes, self.gets))

    def lost_though_reaped(self, reap_after_s: float) -> list[Violation]:
        writes = Writes("key", self.history, reap_after_s)
        return list(lost_writes("key", writes, self.gets, OWNERS, 2))

    def resurrected(self) -> list[Violation]:
        writes = Writes("key", self.history)
        return list(resurrected("key", writes, self.gets, OWNERS, 2))


# Lost writes -------------------------------------------------------------------------------------


def test_an_acknowledged_write_must_be_read() -> None:
    story = Story()
    story.put(b"1")
    story.get()
    [violation] = story.lost()
    assert violation.rule == "lost write"
    assert "put 1 key 1 (0.0000 to 0.9000) was acknowledged" in violation.text


def test_a_write_that_was_not_acknowledged_or_only_later_need_not_be() -> None:
    story = Story()
    story.put(b"1", succeeded=False)
    story.put(b"2", ended_at=2.5)
    story.get()
    assert story.lost() == []


def test_a_write_that_substitutes_keep_need_not_be_read_before_they_deliver_it() -> None:
    story = Story()
    story.put(b"1", nodes=("n1", "n4"))
    story.get()
    assert story.lost() == []
    story.get(client="reader")
    assert len(story.lost()) == 1


def test_what_replaced_a_write_accounts_for_it_step_by_step() -> None:
    story = Story()
    one = story.put(b"1")
    two = story.put(b"2", one, succeeded=False)
    three = story.put(b"3", two)
    story.get(three)
    deleted = story.put(None, three)
    story.get(deleted)
    assert story.lost() == []


def test_going_back_is_a_loss() -> None:
    story = Story()
    one = story.put(b"1")
    story.put(b"2", one)
    story.get(one)
    assert [violation.rule for violation in story.lost()] == ["lost write"]


def test_a_write_beside_it_does_not_account_for_a_write() -> None:
    story = Story()
    story.put(b"1")
    beside = story.put(b"2")
    story.get(beside)
    assert len(story.lost()) == 1


def test_a_later_blind_write_accounts_for_an_earlier_one_and_not_the_other_way() -> None:
    story = Story()
    early = story.blind(b"1")
    late = story.blind(b"2")
    story.get(late)
    assert story.lost() == []
    story.get(early)
    assert len(story.lost()) == 1


def test_a_write_that_began_after_the_read_accounts_for_nothing() -> None:
    story = Story()
    story.put(b"1")
    get = story.get()
    late = story.blind(b"2")
    assert get.siblings is not None
    get.siblings = Siblings({}, (Version(Dot("a", 1), b"2", late.written_at),))
    assert story.lost() == []  # the reading holds it; `invented_values` is about such readings
    get.siblings = EMPTY
    assert len(story.lost()) == 1


def test_a_write_without_fsync_may_be_lost_by_a_crash_and_only_by_one() -> None:
    story = Story()
    story.put(b"1", durable=False)
    one = story.put(b"2")
    careless = story.put(b"3", one, durable=False)
    story.get()
    assert len(story.lost()) == 3  # nothing crashed: where are they?
    story.history.crashed_at.append(careless.began_at + 0.5)
    assert story.lost() == []


def test_an_ephemeral_write_must_be_read_until_it_has_expired_or_members_change() -> None:
    for expires_after_s, changed_at, lost in ((9.0, [], 1), (2.5, [], 0), (9.0, [0.5], 0)):
        story = Story()
        story.put(b"1", ephemeral=True, durable=False, ttl_s=expires_after_s)
        story.history.changed_at += changed_at
        story.put(b"2", succeeded=False)
        story.get()
        assert len(story.lost()) == lost


def test_a_delete_of_what_was_ephemeral_is_forgotten_with_it_and_not_before() -> None:
    for expires_after_s, lost in ((9.0, 1), (2.5, 0)):
        story = Story()
        one = story.put(b"1", ephemeral=True, ttl_s=expires_after_s, succeeded=False)
        story.put(None, one)
        story.get()
        assert len(story.lost()) == lost


def test_in_the_simulation_some_writes_without_fsync_are_really_lost() -> None:
    """So the excuse is needed, and the disks do lose what was not synced."""
    for seed in range(1, 100):
        run = simulate(replace(Plan.drawn(seed), careless=0.5, blackouts=4))
        assert not run.violations
        for operation in run.history.operations:
            operation.durable = True
        for key in run.plan.key_names:
            gets = [op for op in run.history.of_kind("get") if op.key == key and op.succeeded]
            owners = run.plan.node_names
            if list(lost_writes(key, Writes(key, run.history), gets, owners, 2)):
                return
    raise AssertionError("in 100 seeds no unsynced write was lost")


# Deletes -----------------------------------------------------------------------------------------


def test_what_an_acknowledged_delete_had_seen_never_comes_back() -> None:
    story = Story()
    one = story.put(b"1")
    two = story.put(b"2", one)
    deleted = story.put(None, two)
    story.get(deleted)
    assert story.resurrected() == []
    story.get(two)
    story.get(one)  # the delete had seen it too, through 2
    assert [violation.rule for violation in story.resurrected()] == ["resurrected"] * 2
    assert "which 's delete 3 key (2.0000 to 2.9000) had deleted" in story.resurrected()[0].text


def test_what_a_delete_had_not_seen_may_stay_and_so_may_a_second_delivery() -> None:
    story = Story()
    one, beside = story.put(b"1"), story.put(b"2")
    story.put(None, one)
    story.get(beside)
    get = story.get(one)
    story.history.deliveries["key", one.written_at] = 2
    assert len(story.resurrected()) == 1  # under this dot it was seen
    assert get.siblings is not None
    [version] = get.siblings.versions
    again = version._replace(dot=Dot("another actor", 1))
    get.siblings = get.siblings._replace(versions=(again,))
    assert story.resurrected() == []


def test_a_delete_that_failed_or_came_later_or_is_with_substitutes_promises_nothing() -> None:
    for changes in ({"succeeded": False}, {"ended_at": 9.0}, {"nodes": ("n1", "n4")}):
        story = Story()
        one = story.put(b"1")
        story.put(None, one, **changes)
        story.get(one)
        assert story.resurrected() == []


def test_a_blind_delete_takes_what_all_owners_held_before_it() -> None:
    story = Story()
    everywhere = story.put(b"1", nodes=OWNERS)
    elsewhere = story.put(b"2")
    story.blind(None)
    later = story.put(b"3", nodes=OWNERS)
    story.get(elsewhere, later)
    assert story.resurrected() == []
    story.get(everywhere)
    assert len(story.resurrected()) == 1


def test_once_a_tombstone_may_be_reaped_nothing_at_all_accounts_for_what_was_deleted() -> None:
    story = Story()
    one = story.put(b"1")
    story.put(None, one)
    story.get()
    assert len(story.lost()) == 2
    assert len(story.lost_though_reaped(9.0)) == 2
    assert story.lost_though_reaped(0.5) == []


def test_a_reaped_tombstone_accounts_for_nothing_that_its_delete_had_not_seen() -> None:
    story = Story()
    one = story.put(b"1")
    story.put(b"2")
    story.put(None, one)
    story.get()
    assert len(story.lost_though_reaped(0.5)) == 1


def test_a_delete_that_reached_nobody_has_no_tombstone_to_reap() -> None:
    story = Story()
    one = story.put(b"1")
    deleted = story.put(None, one, succeeded=False)
    story.history.deliveries["key", deleted.written_at] = 0
    story.get()
    assert len(story.lost_though_reaped(0.5)) == 1


# False siblings ----------------------------------------------------------------------------------


def test_writers_that_did_not_know_each_other_may_stand_side_by_side() -> None:
    story = Story()
    one, two = story.put(b"1"), story.put(b"2")
    story.get(one, two)
    assert story.false_siblings() == []


def test_an_ancestor_may_not_even_over_steps() -> None:
    story = Story()
    one = story.put(b"1")
    two = story.put(b"2", one)
    three = story.put(b"3", two)
    story.get(one, three)
    [violation] = story.false_siblings()
    assert "whose writer had seen it" in violation.text


def test_what_was_delivered_twice_may_stand_beside_what_replaced_its_first_delivery() -> None:
    story = Story()
    one = story.put(b"1")
    two = story.put(b"2", one)
    get = story.get(one, two)
    story.history.deliveries["key", one.written_at] = 2
    assert len(story.false_siblings()) == 1  # under this dot it was seen
    assert get.siblings is not None
    again = get.siblings.versions[0]._replace(dot=Dot("another actor", 1))
    get.siblings = get.siblings._replace(versions=(again, get.siblings.versions[1]))
    assert story.false_siblings() == []


def test_a_write_stands_no_more_often_than_it_was_delivered() -> None:
    story = Story()
    one = story.put(b"1")
    get = story.get(one)
    assert get.siblings is not None
    [version] = get.siblings.versions
    twice = (version, version._replace(dot=Dot("another actor", 1)))
    get.siblings = get.siblings._replace(versions=twice)
    assert "2 times, it was delivered 1 times" in story.false_siblings()[0].text


# The others --------------------------------------------------------------------------------------


def test_a_version_nobody_wrote_and_a_dot_of_two_writes() -> None:
    story = Story()
    one, two = story.put(b"1"), story.put(b"2")
    writes = Writes("key", story.history)
    dot = Dot("a", 1)
    copies = {
        "n1": Siblings({"a": 1}, (Version(dot, b"1", one.written_at),)),
        "n2": Siblings({"a": 1}, (Version(dot, b"2", two.written_at),)),
        "n3": Siblings({"b": 1}, (Version(Dot("b", 1), b"2", one.written_at),)),
    }
    rules = Counter(violation.rule for violation in invented_values("key", writes, [], copies))
    assert rules == {"dot used twice": 1, "invented value": 1}


def test_w_owners_know_of_each_write_that_was_acknowledged_when_all_is_at_rest() -> None:
    story = Story()
    put = story.put(b"1")
    knows = story.get(put).siblings
    assert knows is not None
    rested = {"key": {"n1": knows, "n2": knows, "n3": EMPTY}}
    assert list(thin_writes(story.history, rested, 2)) == []
    rested["key"]["n2"] = EMPTY
    [violation] = thin_writes(story.history, rested, 2)
    assert violation.rule == "thin write"
    put.succeeded = False
    assert list(thin_writes(story.history, rested, 2)) == []


def test_a_hint_that_is_still_there_has_been_forgotten() -> None:
    assert forgotten_hints({"n1": []}) == []
    assert [v.rule for v in forgotten_hints({"n1": [b"hn2\x00key"]})] == ["forgotten hint"]


def test_a_copy_on_a_node_that_does_not_own_its_key_is_misplaced() -> None:
    owners = {"key": OWNERS}
    assert list(misplaced_copies({"n1": ["key"], "n4": []}, owners)) == []
    [violation] = misplaced_copies({"n1": ["key"], "n4": ["key"]}, owners)
    assert violation.rule == "misplaced copy"
    assert "n4 keeps a copy that belongs to n1, n2, n3" in violation.text


def test_replicas_that_differ_before_anybody_reads_have_not_converged() -> None:
    same = Siblings({"a": 1}, (Version(Dot("a", 1), b"1", 1.0),))
    assert list(not_converged({"key": {"n1": same, "n2": same}})) == []
    [violation] = not_converged({"key": {"n1": same, "n2": EMPTY}})
    assert violation.rule == "not converged"


def test_copies_that_differ() -> None:
    same = Siblings({"a": 1}, (Version(Dot("a", 1), b"1", 1.0),))
    assert list(differing_copies("key", {"n1": same, "n2": same})) == []
    assert len(list(differing_copies("key", {"n1": same, "n2": EMPTY}))) == 1
    forgot = same._replace(context={})
    assert len(list(differing_copies("key", {"n1": same, "n2": forgot}))) == 1


def test_lists() -> None:
    story = Story()
    one = story.put(b"1")
    story.get(one, client="reader")
    story.lists("key", client="reader")
    assert list(wrong_lists(story.history, {"key": OWNERS}, 2)) == []
    story.lists()
    story.lists("key", "key")
    story.lists("key", "invented")
    assert len(list(wrong_lists(story.history, {"key": OWNERS}, 2))) == 4
    assert list(wrong_lists(Story().history, {"key": OWNERS}, 2)) == []
