"""User code arrives as it was written, and what is wrong with it is said before it runs."""

import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from mapreduce.engine import shipping
from mapreduce.errors import JobError, SourceError

SOURCE = b"""\
from mapreduce import Mapper, Reducer

class MyMapper(Mapper):
    def map(self, key, value):
        raise RuntimeError("on line five")

class MyReducer(Reducer): ...

MyCombiner = MyReducer

if True:
    class Other(Mapper): ...
"""


def test_names_have_defaults() -> None:
    code = shipping.check_source(SOURCE, "job.py")
    assert (code.mapper, code.reducer, code.combiner) == ("MyMapper", "MyReducer", "MyCombiner")
    without = shipping.check_source(b"class MyMapper: ...\nMyReducer = 1", "job.py")
    assert without.combiner is None


def test_a_job_without_reducers_needs_only_a_mapper() -> None:
    code = shipping.check_source(b"class MyMapper: ...", "job.py", reducers=0)
    assert (code.reducer, code.combiner) == (None, None)


def test_other_names_can_be_given() -> None:
    assert shipping.check_source(SOURCE, "job.py", mapper="Other").mapper == "Other"


def test_checking_runs_nothing() -> None:
    source = SOURCE + b"raise SystemExit('ran')\n"
    shipping.check_source(source, "job.py")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"class MyMapper:\n    def map(self:\n", r"^job.py, line 2: "),
        (b"class MyMapper: ...\nreturn 1\n", r"^job.py, line 2: 'return' outside function"),
        (b"class MyMaper: ...\n", r"^job.py has no class MyMapper; .* it has MyMaper$"),
        (b"", r"^job.py has no class MyMapper; .* no classes or names"),
        (b"class MyMapper: ...\n", r"^job.py has no class MyReducer; "),
        (b"a\0b", r"^job.py"),
        (b"x = '\xff'\n", r"^job.py"),
    ],
)
def test_what_is_wrong_with_a_source_is_one_line(source: bytes, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        shipping.check_source(source, "job.py")
    assert "\n" not in str(caught.value)


def test_a_traceback_shows_the_file_s_name_and_line() -> None:
    code = shipping.check_source(SOURCE, "books/job.py")
    classes = shipping.load(code, SOURCE, "trace")
    with pytest.raises(RuntimeError) as caught:
        classes.mapper().map(0, "")
    shown = "".join(traceback.format_exception(caught.value))
    assert 'File "books/job.py", line 5, in map' in shown
    assert 'raise RuntimeError("on line five")' in shown


def test_two_jobs_don_t_share_their_modules() -> None:
    sources = [b"class MyMapper:\n    text = 'one'", b"class MyMapper:\n    text = 'two'"]
    loaded = [
        shipping.load(shipping.check_source(s, "job.py", reducers=0), s, f"job{number}")
        for number, s in enumerate(sources)
    ]
    assert [classes.mapper().text for classes in loaded] == ["one", "two"]


def test_a_name_that_is_gone_after_running_is_an_error() -> None:
    source = b"class MyMapper: ...\ndel MyMapper\n"
    code = shipping.check_source(source, "job.py", reducers=0)
    with pytest.raises(SourceError, match="after it has run"):
        shipping.load(code, source, "gone")


NOTEBOOK = """
import sys
from typing import NamedTuple
from mapreduce import Mapper, Reducer
from mapreduce.engine import shipping
import helper

LIMIT = 3

class Point(NamedTuple):
    x: int

class Words(Mapper):
    def map(self, key, value):
        return [(word, Point(helper.ONE)) for word in value.split()[:LIMIT]]

code, data = shipping.pickle_classes(Words)
assert (code.mapper, code.reducer) == ("Words", None)
sys.stdout.buffer.write(data)
"""


def test_classes_of_main_run_where_main_is_not(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("ONE = 1\n")
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK)
    data = subprocess.run([sys.executable, script], capture_output=True, check=True).stdout
    load = (
        "import sys; from mapreduce.engine import shipping;"
        "from mapreduce.engine.orders import Code;"
        "code = Code(kind='pickle', filename='x', mapper='Words', reducer=None);"
        "words = shipping.load(code, sys.stdin.buffer.read(), 'job').mapper();"
        "import pickle; print(pickle.loads(pickle.dumps(words.map(0, 'a b c d'))))"
    )
    told = subprocess.run(
        [sys.executable, "-c", load], input=data, cwd=tmp_path, capture_output=True, check=True
    )
    assert told.stdout.decode().strip() == (
        "[('a', Point(x=1)), ('b', Point(x=1)), ('c', Point(x=1))]"
    )


def test_what_can_not_be_pickled_is_one_clear_error() -> None:
    lock = __import__("threading").Lock()

    class Holds:
        held = lock

    with pytest.raises(JobError, match="can't be sent to where they run"):
        shipping.pickle_classes(Holds)
