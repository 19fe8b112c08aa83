"""A job from s3:// to s3://, in processes of its own that find the server by their environment."""

import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from mapreduce import Job, Mapper, Reducer
from mapreduce.errors import OutputExists
from tests.mapreduce import s3

LONG = b"".join(b"to be %d\n" % (n % 7) for n in range(2000))


class Words(Mapper):
    def map(self, position, line):
        for word in line.split():
            yield word, 1
            self.context.emit(position, word, to="seen")


class DiesOnce(Reducer):
    """Ends its process at the end of its task, once, with an output half sent."""

    def reduce(self, word, ones):
        if word == "be":
            self.context.emit(word, "x" * (9 << 20), to="large")
        yield word, sum(ones)

    def cleanup(self):
        mark = Path(self.context.params["mark"])
        if not mark.exists():
            mark.touch()
            os._exit(9)


def test_a_job_reads_and_writes_s3_and_an_attempt_that_died_leaves_no_trace(tmp_path: Path) -> None:
    folder, out = s3.new_folder(), s3.new_folder()
    contents = {"a.txt": LONG, "b.txt": b"be\n", "c.txt.gz": gzip.compress(LONG), "d.csv": b"no\n"}
    for name, content in contents.items():
        s3.client().pipe_file(f"{folder}/{name}", content)
    job = Job(
        "words",
        mapper=Words,
        reducer=DiesOnce,
        reducers=1,
        split_bytes=7000,
        outputs={"seen": "text", "large": "text"},
        params={"mark": tmp_path / "mark"},
    )
    result = job.run(f"{folder}/*.txt*", output=f"{out}/words", processes=1)

    expected = Counter((LONG + LONG + b"be\n").decode().split())
    assert dict(result) == {word: str(count) for word, count in expected.items()}
    [step] = result.summary["steps"]
    assert step["map"]["tasks"] == 3  # the long one is cut; the last of it with what is small
    assert step["reduce"]["lost_attempts"] + step["reduce"]["failed_attempts"] == 1
    named = {path.rpartition("/")[2] for path in s3.client().find(out)}
    maps = {f"seen-m-{task:05d}" for task in range(step["map"]["tasks"])}
    assert named == {"_SUCCESS", "part-00000", "large-r-00000", *maps}

    with pytest.raises(OutputExists, match="words' exists already"):
        job.run(f"{folder}/b.txt", output=f"{out}/words", processes=1)
