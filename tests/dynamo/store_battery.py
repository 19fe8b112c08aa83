"""What every `Store` must do; one battery for the twin in memory and the client of a cluster.

A test module subclasses `StoreBattery` and provides the fixture `store`. The store may be shared
and hold other keys already: each test writes below a prefix of its own.
"""

import threading
from typing import Any
from uuid import uuid4

import pytest

from dynamo.errors import Conflict, DynamoError, RequestError, TooLarge
from dynamo.store import KEY_LIMIT_BYTES, VALUE_LIMIT_BYTES, Store
from dynamo.update import update
from dynamo.values.versions import NOTHING_SEEN
from tests.waiting import wait_until


def store_width(store: Store, key: str) -> int:
    """As many as hold the key: then every one of them has seen a put."""
    return len(store.locate(key))


class StoreBattery:
    @pytest.fixture
    def at(self) -> str:
        """A prefix that no other test uses."""
        return f"battery-{uuid4().hex}/"

    # One key ---------------------------------------------------------------------------------

    def test_what_is_put_is_read_back(self, store: Store, at: str) -> None:
        written = store.put(at + "colour", b"green")
        reading = store.get(at + "colour")
        assert reading.value == b"green"
        assert reading.values == (b"green",)
        assert reading.context
        assert written.nodes
        assert reading.nodes

    def test_a_key_that_is_not_there_reads_as_nothing(self, store: Store, at: str) -> None:
        reading = store.get(at + "nothing")
        assert reading.value is None
        assert reading.values == ()
        assert reading.context == NOTHING_SEEN

    @pytest.mark.parametrize(
        "value", [b"", b"\x00\xff\n", bytes(range(256)) * 5000], ids=["empty", "bytes", "large"]
    )
    def test_a_value_is_any_bytes(self, store: Store, at: str, value: bytes) -> None:
        store.put(at + "key", value)
        assert store.get(at + "key").value == value

    @pytest.mark.parametrize(
        "name", ["a b", "ключ", "😀", "{}", "a{b}c", "//", "new\nline", "\x00"]
    )
    def test_a_key_is_any_text(self, store: Store, at: str, name: str) -> None:
        store.put(at + name, b"1")
        assert store.get(at + name).value == b"1"
        assert list(store.list(at)) == [at + name]

    def test_a_later_put_replaces_an_earlier_one(self, store: Store, at: str) -> None:
        for number in range(5):
            store.put(at + "key", b"%d" % number)
        assert store.get(at + "key").values == (b"4",)

    def test_without_fsync_it_reads_the_same(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1", durable=False)
        assert store.get(at + "key").value == b"1"
        store.delete(at + "key", durable=False)
        assert store.get(at + "key").value is None

    # Contexts and siblings -------------------------------------------------------------------

    def test_a_put_with_a_context_replaces_what_was_seen(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1")
        seen = store.get(at + "key")
        store.put(at + "key", b"2", context=seen.context)
        assert store.get(at + "key").values == (b"2",)
        assert store.get(at + "key").context != seen.context

    def test_two_writers_that_saw_the_same_leave_siblings(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1")
        seen = store.get(at + "key")
        store.put(at + "key", b"2", context=seen.context)
        store.put(at + "key", b"3", context=seen.context)
        both = store.get(at + "key")
        assert sorted(both.values) == [b"2", b"3"]
        store.put(at + "key", b"4", context=both.context)
        assert store.get(at + "key").values == (b"4",)

    def test_writers_that_saw_nothing_leave_siblings(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1", context=NOTHING_SEEN)
        store.put(at + "key", b"2", context=NOTHING_SEEN)
        assert sorted(store.get(at + "key").values) == [b"1", b"2"]

    def test_equal_siblings_are_one_value(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1", context=NOTHING_SEEN)
        store.put(at + "key", b"1", context=NOTHING_SEEN)
        assert store.get(at + "key").values == (b"1",)

    # Time to live ----------------------------------------------------------------------------

    @pytest.mark.parametrize("ephemeral", [False, True])
    def test_a_value_is_gone_after_its_time(self, store: Store, at: str, ephemeral: bool) -> None:
        store.put(at + "stays", b"1", ttl_s=3600.0, ephemeral=ephemeral)
        store.put(at + "goes", b"1", ttl_s=0.2, ephemeral=ephemeral)
        store.multi_put({at + "goes too": b"1"}, ttl_s=0.2, ephemeral=ephemeral)
        wait_until(lambda: list(store.list(at)) == [at + "stays"], 10, "the end of both")
        assert store.get(at + "goes").values == ()
        assert store.multi_get([at + "stays", at + "goes too"])[at + "goes too"].values == ()
        assert store.get(at + "stays").value == b"1"

    def test_a_key_that_has_expired_can_be_put_again(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1", ttl_s=0.1)
        wait_until(lambda: not store.get(at + "key").values, 10, "its end")
        store.put(at + "key", b"2")
        assert store.get(at + "key").values == (b"2",)

    def test_an_ephemeral_key_is_put_and_deleted_like_any(self, store: Store, at: str) -> None:
        for value in (b"1", b"2"):
            store.put(at + "key", value, ttl_s=60.0, ephemeral=True)
            assert store.get(at + "key").values == (value,)
        store.delete(at + "key")
        assert store.get(at + "key").values == ()
        assert list(store.list(at)) == []
        store.put(at + "key", b"3", ttl_s=60.0, ephemeral=True)
        assert store.get(at + "key").values == (b"3",)

    def test_an_ephemeral_put_onto_what_is_to_last_is_refused(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1", w=store_width(store, at + "key"))
        with pytest.raises(RequestError, match="to last"):
            store.put(at + "key", b"2", ttl_s=60.0, ephemeral=True)
        items = {f"{at}key": b"2", f"{at}other": b"2"}
        with pytest.raises(DynamoError, match="to last"):
            store.multi_put(items, ttl_s=60.0, ephemeral=True)
        assert store.get(at + "key").values == (b"1",)

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            ({"ttl_s": 0}, "ttl_s is a number of seconds over 0"),
            ({"ttl_s": -1.0}, "ttl_s is a number of seconds over 0"),
            ({"ttl_s": float("nan")}, "ttl_s is a number of seconds over 0"),
            ({"ephemeral": True}, "needs ttl_s"),
            ({"if_absent": True, "context": NOTHING_SEEN}, "give one of"),
            ({"if_absent": True, "if_context": NOTHING_SEEN}, "give one of"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(
        self, store: Store, at: str, options: dict[str, Any], text: str
    ) -> None:
        with pytest.raises(RequestError, match=text):
            store.put(at + "key", b"1", **options)
        assert store.get(at + "key").values == ()

    # Conditions and resolvers ----------------------------------------------------------------

    def test_if_absent_puts_once(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1", if_absent=True)
        with pytest.raises(Conflict) as refused:
            store.put(at + "key", b"2", if_absent=True)
        assert refused.value.values == 1
        assert refused.value.context == store.get(at + "key").context
        assert store.get(at + "key").values == (b"1",)
        store.delete(at + "key")
        store.put(at + "key", b"3", if_absent=True)
        assert store.get(at + "key").values == (b"3",)

    def test_if_context_puts_unless_somebody_was_faster(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1", if_context=NOTHING_SEEN)
        seen = store.get(at + "key")
        store.put(at + "key", b"2", if_context=seen.context)
        with pytest.raises(Conflict):
            store.put(at + "key", b"3", if_context=seen.context)
        assert store.get(at + "key").values == (b"2",)

    def test_update_loses_no_change(self, store: Store, at: str) -> None:
        def add() -> None:
            for _ in range(5):
                update(
                    store, at + "key", lambda seen: b"%d" % (int(seen.value or 0) + 1), attempts=200
                )

        threads = [threading.Thread(target=add) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.get(at + "key").values == (b"15",)

    def test_siblings_are_resolved_as_asked(self, store: Store, at: str) -> None:
        for value in (b"milk", b"eggs"):
            store.put(at + "key", value, context=NOTHING_SEEN)
        both = store.get(at + "key")
        assert store.get(at + "key", resolver="siblings").values == both.values
        assert store.get(at + "key", resolver="last_write").values == (b"eggs",)
        merged = store.get(at + "key", resolver=lambda values: b" ".join(sorted(values)))
        assert merged.values == (b"eggs milk",)
        store.put(at + "key", b"eggs milk", context=merged.context)
        assert store.get(at + "key").values == (b"eggs milk",)
        with pytest.raises(RequestError, match="a resolver is"):
            store.get(at + "key", resolver="newest")  # type: ignore[arg-type]

    # Deletes ---------------------------------------------------------------------------------

    def test_a_deleted_key_reads_as_nothing_and_is_not_listed(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1")
        assert store.delete(at + "key").nodes
        assert store.get(at + "key").values == ()
        assert list(store.list(at)) == []

    def test_deleting_what_is_not_there_is_no_error(self, store: Store, at: str) -> None:
        store.delete(at + "nothing")
        store.delete(at + "nothing", context=store.get(at + "nothing").context)
        assert store.get(at + "nothing").values == ()

    def test_a_deleted_key_can_be_put_again(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1")
        store.delete(at + "key")
        store.put(at + "key", b"2", context=store.get(at + "key").context)
        assert store.get(at + "key").values == (b"2",)
        assert list(store.list(at)) == [at + "key"]

    def test_a_delete_leaves_what_its_context_has_not_seen(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1")
        seen = store.get(at + "key")
        store.put(at + "key", b"2", context=seen.context)
        store.delete(at + "key", context=seen.context)
        assert store.get(at + "key").values == (b"2",)

    # Many keys -------------------------------------------------------------------------------

    def test_many_keys_at_once(self, store: Store, at: str) -> None:
        items = {f"{at}{number:04d}": b"%d" % number for number in range(300)}
        written = store.multi_put(items)
        assert written.keys() == items.keys()
        readings = store.multi_get([*items, at + "nothing"])
        assert {key: reading.value for key, reading in readings.items()} == {
            **items,
            at + "nothing": None,
        }
        assert store.multi_delete(items).keys() == items.keys()
        assert all(not reading.values for reading in store.multi_get(items).values())

    def test_no_keys_at_once(self, store: Store) -> None:
        assert store.multi_get([]) == {}
        assert store.multi_put({}) == {}
        assert store.multi_delete([]) == {}

    def test_keys_may_come_from_a_generator_and_repeat(self, store: Store, at: str) -> None:
        store.put(at + "key", b"1")
        readings = store.multi_get(at + name for name in ("key", "other", "key"))
        assert {key: reading.value for key, reading in readings.items()} == {
            at + "key": b"1",
            at + "other": None,
        }
        store.multi_delete(at + name for name in ("key", "key"))
        assert store.get(at + "key").value is None

    # Lists -----------------------------------------------------------------------------------

    def test_keys_are_listed_by_prefix_in_order_of_code_points(self, store: Store, at: str) -> None:
        names = ["b", "a", "aa", "a/b", "ab", "ключ", "\uffff", "😀"]
        store.multi_put({at + name: b"" for name in names})
        assert list(store.list(at)) == [at + name for name in sorted(names)]
        assert list(store.list(at + "a")) == [at + name for name in ("a", "a/b", "aa", "ab")]
        assert list(store.list(at + "x")) == []

    def test_a_list_can_go_on_behind_a_key(self, store: Store, at: str) -> None:
        store.multi_put({at + name: b"" for name in "abcd"})
        assert list(store.list(at, after=at + "b")) == [at + "c", at + "d"]
        assert list(store.list(at, after=at + "bb")) == [at + "c", at + "d"]
        assert list(store.list(at, after=at + "d")) == []

    def test_a_list_longer_than_a_page_is_whole(self, store: Store, at: str) -> None:
        keys = [f"{at}{number:05d}" for number in range(2500)]
        store.multi_put(dict.fromkeys(keys, b""), durable=False)
        store.multi_delete(keys[::7], durable=False)
        live = [key for place, key in enumerate(keys) if place % 7]
        assert list(store.list(at)) == live

    # Places ----------------------------------------------------------------------------------

    def test_a_key_lives_somewhere_and_keys_of_one_routing_part_together(
        self, store: Store, at: str
    ) -> None:
        places = store.locate(f"{{{at}}}:1")
        assert len(places) == len(set(places)) >= 1
        assert store.locate(f"{{{at}}}:2") == places
        written = store.put(f"{{{at}}}:1", b"1")
        assert set(written.nodes) <= set(places)

    # What is refused -------------------------------------------------------------------------

    @pytest.mark.parametrize("key", ["", 5, None, b"bytes", "\ud800"])
    def test_what_can_t_be_a_key_is_refused(self, store: Store, key: str) -> None:
        for call in (store.get, store.delete, store.locate, lambda k: store.put(k, b"")):
            with pytest.raises(RequestError, match="key"):
                call(key)

    def test_a_key_over_its_limit_is_refused(self, store: Store, at: str) -> None:
        longest = at + "k" * (KEY_LIMIT_BYTES - len(at))
        store.put(longest, b"1")
        assert store.get(longest).value == b"1"
        with pytest.raises(TooLarge, match="key of 1,025 bytes is over the limit of 1,024"):
            store.put(longest + "k", b"1")

    def test_the_limit_of_a_key_counts_its_bytes(self, store: Store) -> None:
        with pytest.raises(TooLarge) as refused:
            store.get("ж" * 513)
        assert (refused.value.what, refused.value.size_bytes) == ("key", 1026)

    def test_a_value_over_its_limit_is_refused(self, store: Store, at: str) -> None:
        store.put(at + "key", b"before")
        with pytest.raises(TooLarge, match="store it as a file"):
            store.put(at + "key", bytes(VALUE_LIMIT_BYTES + 1))
        assert store.get(at + "key").value == b"before"

    @pytest.mark.parametrize("value", ["text", None, 5, bytearray(b"1")])
    def test_what_is_no_bytes_is_refused(self, store: Store, at: str, value: bytes) -> None:
        with pytest.raises(RequestError, match="a value is bytes, not"):
            store.put(at + "key", value)
        assert store.get(at + "key").values == ()

    def test_one_bad_item_of_many_is_refused_before_any_is_written(
        self, store: Store, at: str
    ) -> None:
        with pytest.raises(RequestError):
            store.multi_put({at + "good": b"1", at + "bad": "text"})  # type: ignore[dict-item]
        with pytest.raises(RequestError):
            store.multi_put({at + "good": b"1", "": b"2"})
        assert store.get(at + "good").values == ()
        store.put(at + "good", b"1")
        with pytest.raises(RequestError):
            store.multi_delete([at + "good", ""])
        assert store.get(at + "good").values == (b"1",)

    # Threads ---------------------------------------------------------------------------------

    def test_many_threads_may_write_at_once(self, store: Store, at: str) -> None:
        def write(thread: int) -> None:
            for number in range(20):
                store.put(f"{at}{thread}/{number}", b"%d" % number, context=NOTHING_SEEN)
                store.put(f"{at}shared", b"%d.%d" % (thread, number), context=NOTHING_SEEN)

        threads = [threading.Thread(target=write, args=(thread,)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(list(store.list(at))) == 8 * 20 + 1
        assert len(store.get(at + "shared").values) == 8 * 20
