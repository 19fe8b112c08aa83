"""The rules about times to live, each on a history small enough to read."""

from dynamo.disk.contract import EXPIRIES
from dynamo.simulation import lifetimes
from dynamo.simulation.history import History, Operation
from dynamo.simulation.writes import Violation
from dynamo.values.versions import Dot, Siblings, Version


class Story:
    """A value that expires at 10.0, and a get of it from 8.0 to 9.0."""

    def __init__(self, shown: bytes | None, began: float = 8.0, ended: float = 9.0) -> None:
        self.history = History()
        put = Operation("put", "key", b"1", ttl_s=10.0)
        self.history.begin(put, 0.0, 0.0)
        version = Version(Dot("a", 1), shown, put.written_at, put.expires_at)
        get = Operation("get", "key", siblings=Siblings({"a": 1}, (version,)))
        self.history.begin(get, began, 0.0)
        get.ended_at, get.succeeded = ended, True

    @property
    def rules(self) -> list[str]:
        return [violation.rule for violation in lifetimes.check(self.history)]


def test_a_value_is_shown_until_it_expires_and_never_again() -> None:
    assert Story(b"1").rules == []
    assert Story(b"1", 9.5, 10.5).rules == []
    assert Story(b"1", 10.0, 10.5).rules == ["expired value"]
    assert Story(b"1", 5000.0, 5001.0).rules == ["expired value"]


def test_a_value_is_hidden_only_once_it_has_expired() -> None:
    assert Story(None, 10.0, 11.0).rules == []
    assert Story(None, 9.5, 10.5).rules == []
    assert Story(None).rules == ["hidden value"]


def test_a_clock_that_is_wrong_excuses_what_it_says_while_it_is_wrong() -> None:
    late, early = Story(b"1", 20.0, 21.0), Story(None)
    late.history.clocks.set("n1", 20.5, -60.0)
    early.history.clocks.set("n1", 2.0, 60.0)
    assert late.rules == early.rules == []
    late.history.clocks.set("n1", 20.5, 0.0)
    early.history.clocks.set("n1", 3.0, 0.0)
    assert late.rules == []  # at 20.5 it said both
    assert early.rules == ["hidden value"]


def test_nothing_of_what_was_ephemeral_is_left() -> None:
    history = History()
    assert left(history, {b"v\x00\x01other": b""}) == []
    [violation] = left(history, {b"v\x00\x01key~1": b""})
    assert violation == Violation(
        "leftover", "key~1", "n1 still has b'v\\x00\\x01key~1' on its disk"
    )


def test_a_delete_may_have_left_a_tombstone_and_no_note_of_an_expiry() -> None:
    history = History()
    history.begin(Operation("delete", "key~1"), 0.0, 0.0)
    assert left(history, {b"v\x00\x01key~1": b""}) == []
    assert len(left(history, {EXPIRIES[0] + b"key~1": b""})) == 1


def left(history: History, disk: dict[bytes, bytes]) -> list[Violation]:
    return list(lifetimes.leftovers(history, ["key~1"], {"n1": disk}))
