"""How far a map task is: `mapreduce.engine.watching`."""

import gzip
from pathlib import Path

from dynamo.store import MemoryStore
from mapreduce.data import inputs
from mapreduce.data.inputs import Slice
from mapreduce.engine.watching import Watched


def told(*files: Path, input_format: str = "text") -> list[float]:
    """The progress at each record of some files that are one split."""
    slices = [Slice(str(file), 0, file.stat().st_size, source="local") for file in files]
    watched = Watched(inputs.open_reader(MemoryStore()), sum(part.size_bytes for part in slices))
    found = []
    for part in slices:
        for batch in inputs.reading(part, input_format).read(part, watched):
            watched.begin(batch)
            found += [watched.progress() for _ in batch.pairs]
    return found


def test_it_is_as_far_as_the_record_that_it_is_at_though_all_has_been_read(tmp_path):
    (tmp_path / "a").write_text("to be\n" * 4)
    (tmp_path / "b").write_text("not to be\n" * 2 + "not to be\n" * 2)
    assert told(tmp_path / "a") == [0.0, 0.25, 0.5, 0.75]
    both = told(tmp_path / "a", tmp_path / "b")
    assert both == [0, 6 / 64, 12 / 64, 18 / 64, 24 / 64, 34 / 64, 44 / 64, 54 / 64]


def test_of_a_single_record_nothing_is_known(tmp_path):
    (tmp_path / "a").write_text("to be\n" * 4)
    assert told(tmp_path / "a", input_format="whole") == [0.0]


def test_of_a_packed_file_nothing_is_known_before_its_end(tmp_path):
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"to be\n" * 4))
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"to be\n" * 4))
    assert told(tmp_path / "a.gz", tmp_path / "b.gz") == [0.0] * 4 + [0.5] * 4
