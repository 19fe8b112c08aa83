"""The rules about puts that look first, each on a history small enough to read."""

from dynamo.protocol.messages import Condition, Failure
from dynamo.simulation import conditions
from dynamo.simulation.history import History, Operation
from dynamo.simulation.writes import Violation

OWNERS = ("n1", "n2", "n3")


class Story:
    """Writes of one key, one second each, each beginning when the one before has ended."""

    def __init__(self) -> None:
        self.history = History()

    def put(
        self,
        *saw: Operation,
        condition: Condition = Condition.NONE,
        node: str = "n1",
        deleted: bool = False,
        began: float | None = None,
        **changes: object,
    ) -> Operation:
        context = None if condition is Condition.ABSENT else {"a": 1}
        value = None if deleted else b"%d" % len(self.history.operations)
        op = Operation("delete" if deleted else "put", "key", value, context)
        op.saw, op.condition = tuple(seen.written_at for seen in saw), condition
        op.succeeded, op.nodes = True, OWNERS[:2]
        for name, changed in changes.items():
            setattr(op, name, changed)
        self.history.begin(op, len(self.history.operations) if began is None else began, 0.0)
        op.ended_at = op.began_at + 0.9
        self.history.deliveries["key", op.written_at] += 1
        self.history.coordinators["key", op.written_at].add(node)
        return op

    def if_absent(self, **changes: object) -> Operation:
        return self.put(condition=Condition.ABSENT, **changes)  # type: ignore[arg-type]

    def if_context(self, *saw: Operation, **changes: object) -> Operation:
        return self.put(*saw, condition=Condition.UNCHANGED, **changes)  # type: ignore[arg-type]

    def found(self, steady: bool = True) -> list[Violation]:
        return conditions.check(self.history, {"key": OWNERS}, 2, steady=steady)

    @property
    def rules(self) -> list[str]:
        return [violation.rule for violation in self.found()]


REFUSED = {"succeeded": False, "refusal": Failure.CONFLICT}


# What was there before ---------------------------------------------------------------------------


def test_what_was_acknowledged_before_is_met() -> None:
    story = Story()
    story.put()
    story.if_absent(node="n2")
    [violation] = story.found()
    assert violation.rule == "condition overlooked"
    assert "succeeded if absent, and 's put 1 key 0 (0.0000 to 0.9000)" in violation.text
    story = Story()
    one = story.put()
    story.put(one)
    story.if_context(one, node="n2")
    assert story.rules == ["condition overlooked"]


def test_what_was_not_acknowledged_or_at_the_same_time_need_not_be_met() -> None:
    for changes in ({"succeeded": False}, {"nodes": ("n1", "n4")}, {"began": 0.5}):
        story = Story()
        story.put(**changes)  # type: ignore[arg-type]
        story.if_absent(node="n2", began=1.0)
        assert story.rules == []


def test_what_is_deleted_or_has_expired_is_absent() -> None:
    story = Story()
    one = story.put()
    story.put(one, deleted=True)
    story.if_absent()
    assert story.rules == []
    story = Story()
    story.put(ttl_s=1.5)
    story.if_absent(began=1.0)
    assert story.rules == []
    story = Story()
    story.put(ttl_s=5.0)
    story.if_absent(began=1.0)
    assert story.rules == ["condition overlooked"]


def test_what_its_context_had_seen_is_no_conflict() -> None:
    story = Story()
    one = story.put()
    two = story.put(one)
    story.if_context(two)
    assert story.rules == []


# Two at once -------------------------------------------------------------------------------------


def test_of_two_at_once_through_one_node_one_has_met_the_other() -> None:
    story = Story()
    story.if_absent()
    story.if_absent(began=0.5)
    assert story.rules == ["both succeeded"]
    assert story.found(steady=False) == []
    story = Story()
    one = story.if_context()
    story.if_context(began=0.5)
    story.if_context(one)
    assert "both succeeded" in story.rules


def test_of_two_at_once_through_two_nodes_or_asked_for_twice_both_may_succeed() -> None:
    story = Story()
    story.if_absent()
    story.if_absent(began=0.5, node="n2")
    assert story.rules == []
    story = Story()
    again = story.if_absent()
    story.history.deliveries["key", again.written_at] = 2
    story.if_absent(began=0.5)
    assert story.rules == []


# Refusals ----------------------------------------------------------------------------------------


def test_who_is_refused_has_met_something() -> None:
    story = Story()
    story.put()
    story.if_absent(**REFUSED)
    assert story.rules == []
    story = Story()
    story.if_absent(**REFUSED)
    assert story.rules == ["refused for nothing"]


def test_neither_a_delete_nor_what_has_expired_nor_another_refused_one_is_in_the_way() -> None:
    story = Story()
    one = story.put(nodes=OWNERS)
    story.put(one, deleted=True)
    story.put(ttl_s=0.5, nodes=OWNERS)
    story.if_absent(began=3.0, **REFUSED)
    story.if_absent(began=3.0, **REFUSED)
    assert story.rules == ["refused for nothing"] * 2


def test_what_its_context_had_seen_is_no_reason_unless_it_came_twice() -> None:
    story = Story()
    one = story.put()
    story.if_context(one, **REFUSED)
    assert story.rules == ["refused for nothing"]
    story.history.deliveries["key", one.written_at] = 2
    assert story.rules == []
