"""The store in memory does what every store must."""

import pytest

from dynamo.store import MemoryStore
from tests.dynamo.store_battery import StoreBattery


class TestMemoryStore(StoreBattery):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()


def test_two_writers_at_the_same_time_by_the_clock() -> None:
    store = MemoryStore(clock=lambda: 5.0)
    store.put("key", b"1")
    store.put("key", b"2")
    assert store.get("key").values == (b"2",)


def test_a_clock_that_goes_back_loses_no_write() -> None:
    times = [5.0]
    store = MemoryStore(clock=lambda: times[-1])
    store.put("key", b"1")
    times.append(3.0)
    store.put("key", b"2")
    assert store.get("key").values == (b"1", b"2")
