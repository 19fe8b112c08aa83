"""Plain keys as input: which are meant, and what becomes of those that are none."""

import pytest

from dynamo.store import MemoryStore
from mapreduce.data import inputs
from mapreduce.data.inputs import InputSpec, keys
from mapreduce.engine import paths
from mapreduce.engine.events import AttemptId, TaskId
from mapreduce.errors import InputMissing, JobError
from tests.mapreduce.data.inputs.places import StorePlace


def plan(store: MemoryStore, path: str, split_bytes: int = 1 << 20) -> list[inputs.Split]:
    return inputs.plan("store", [InputSpec(path)], store, split_bytes=split_bytes)


def names(splits: list[inputs.Split]) -> list[str]:
    return [part.path for split in splits for part in split.slices]


def test_files_their_chunks_and_jobs_are_no_plain_keys() -> None:
    place = StorePlace()
    place.put("a.txt", b"a file\n")
    attempt = AttemptId(TaskId("wc", "map", 0), 1)
    internal = [paths.spec("wc"), paths.code("wc"), paths.status("wc"), paths.log(attempt)]
    for key in [*internal, paths.block("wc", 0, 0, 1, 0, 0), "user-1", "file", "{job:}"]:
        place.store.put(key, b"value\n")
    assert names(plan(place.store, "keys:")) == ["file", "user-1", "{job:}"]


@pytest.mark.parametrize("prefix", ["/", "/books", "job:wc", "piece:{", "file:{ab"])
def test_to_ask_for_them_is_an_error(prefix: str) -> None:
    with pytest.raises(JobError, match="the system keeps"):
        plan(MemoryStore(), f"keys:{prefix}")


def test_a_key_with_siblings_is_an_error_that_names_it() -> None:
    store = MemoryStore()
    store.put("user-1", b"one", context={})
    store.put("user-1", b"two", context={})
    with pytest.raises(JobError, match="'user-1' has 2 values"):
        plan(store, "keys:user-")


def test_keys_are_of_the_store_and_not_of_this_machine() -> None:
    with pytest.raises(JobError, match="on a cluster"):
        inputs.plan("local", [InputSpec("keys:user-")], MemoryStore(), split_bytes=1)


def test_a_prefix_without_keys_is_a_missing_input() -> None:
    store = MemoryStore()
    store.put("user-1", b"one")
    with pytest.raises(InputMissing, match="dynamo ls book-"):
        plan(store, "keys:book-")


def test_values_are_read_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counting(MemoryStore):
        calls: list[int] = []  # noqa: RUF012

        def multi_get(self, keys, **options):
            keys = list(keys)
            self.calls.append(len(keys))
            return super().multi_get(keys, **options)

    monkeypatch.setattr(keys, "WINDOW_BYTES", 1000)
    store = Counting()
    for number in range(50):
        store.put(f"k{number:02d}", b"%099d\n" % number)
    [split] = plan(store, "keys:k")
    assert max(store.calls) == 10
    store.calls.clear()
    reader = inputs.open_reader(store)
    reader.prepare(split.slices)
    read = [b"".join(reader.read(part, 0, part.stop)) for part in split.slices]
    assert read == [b"%099d\n" % number for number in range(50)]
    assert store.calls == [10] * 5
