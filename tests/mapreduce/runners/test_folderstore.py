"""Both stores in a folder keep what is put into them, under any key."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamo.errors import TooLarge
from mapreduce.runners.folderstore import FolderStore
from mapreduce.runners.packstore import PackStore

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=240)
STORES = pytest.mark.parametrize("kind", [FolderStore, PackStore])


@STORES
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(keys, st.binary(max_size=20), max_size=5))
def test_any_key_can_be_put_got_listed_and_deleted(
    tmp_path: Path, kind: type[FolderStore], items: dict[str, bytes]
) -> None:
    store = kind(tmp_path)
    store.multi_put(items)
    assert {key: r.value for key, r in store.multi_get(items).items()} == items
    assert list(store.list("")) == sorted(items)
    store.multi_delete(items)
    assert list(store.list("")) == []
    assert all(store.get(key).value is None for key in items)


@STORES
@pytest.mark.parametrize("key", [".", "..", "a/../b", "/", "+a", "=a", "x" * 1024])
def test_keys_that_look_like_paths_stay_inside(
    tmp_path: Path, kind: type[FolderStore], key: str
) -> None:
    store = kind(tmp_path / "store")
    store.put(key, b"1")
    assert list(store.list("")) == [key]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@STORES
def test_lists_by_prefix_and_after(tmp_path: Path, kind: type[FolderStore]) -> None:
    store = kind(tmp_path)
    store.multi_put(dict.fromkeys(["a:1", "a:2", "a:3", "b:1"], b""))
    assert list(store.list("a:", after="a:1")) == ["a:2", "a:3"]


@STORES
def test_limits_are_those_of_every_store(tmp_path: Path, kind: type[FolderStore]) -> None:
    store = kind(tmp_path)
    with pytest.raises(TooLarge):
        store.put("k" * 1025, b"")
    with pytest.raises(TooLarge):
        store.put("k", bytes((8 << 20) + 1))
    assert list(tmp_path.iterdir()) == []
