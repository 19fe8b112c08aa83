"""User code arrives as it was written, and what is wrong with it is said before it runs."""

import importlib
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from mapreduce import Mapper, Reducer, Step
from mapreduce.engine import shipping, sources
from mapreduce.engine.orders import Code, StepSpec
from mapreduce.engine.shipping import Program
from mapreduce.errors import JobError, SourceError
from tests.mapreduce.specs import job_spec

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


def checked(source: bytes, filename: str = "job.py", **step: Any) -> StepSpec:
    [found] = sources.check_source(source, Code(filename=filename), [StepSpec(**step)])
    return found


def loaded(source: bytes, run: str = "job", filename: str = "job.py", **step: Any) -> Program:
    spec = job_spec(code=Code(filename=filename), steps=(checked(source, filename, **step),))
    return shipping.load(spec, source, run)


def test_names_have_defaults() -> None:
    step = checked(SOURCE)
    assert (step.mapper, step.reducer, step.combiner) == ("MyMapper", "MyReducer", "MyCombiner")
    assert checked(b"class MyMapper: ...\nMyReducer = 1").combiner is None


def test_a_job_without_reducers_needs_only_a_mapper() -> None:
    step = checked(b"class MyMapper: ...", reducers=0)
    assert (step.reducer, step.combiner) == (None, None)


def test_other_names_can_be_given() -> None:
    assert checked(SOURCE, mapper="Other").mapper == "Other"


DO_HASH = b"class MyMapper: ...\nclass MyReducer: ...\ndef do_hash(key): return -len(key)\n"
OTHER = b"def by_length(key, partitions): return 0\n"


def test_a_function_do_hash_places_keys_unless_the_job_says_otherwise() -> None:
    [step] = loaded(DO_HASH, reducers=2).steps
    assert step.do_hash is not None and step.do_hash("to") == -2
    assert checked(DO_HASH + OTHER, partitioner="by_length").do_hash is None
    assert checked(DO_HASH, total_order=True).do_hash is None
    assert checked(DO_HASH, reducers=0).do_hash is None


def test_a_file_that_places_keys_in_two_ways_is_refused() -> None:
    with pytest.raises(SourceError, match="has MyPartitioner and do_hash, which both say"):
        checked(DO_HASH + OTHER.replace(b"by_length", b"MyPartitioner"))


@pytest.mark.parametrize("options", [{"partitioner": max}, {"total_order": True}])
def test_a_step_with_a_hash_has_no_other_way_to_place_keys(options: dict[str, Any]) -> None:
    with pytest.raises(JobError, match="do_hash"):
        Step(mapper=Mapper, reducer=Reducer, do_hash=hash, **options)


def test_checking_runs_nothing() -> None:
    checked(SOURCE + b"raise SystemExit('ran')\n")


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
        checked(source)
    assert "\n" not in str(caught.value)


def test_a_traceback_shows_the_file_s_name_and_line() -> None:
    program = loaded(SOURCE, "trace", "books/job.py")
    assert program.mappers[0] is not None
    with pytest.raises(RuntimeError) as caught:
        program.mappers[0]().map(0, "")
    shown = "".join(traceback.format_exception(caught.value))
    assert 'File "books/job.py", line 5, in map' in shown
    assert 'raise RuntimeError("on line five")' in shown


def test_two_jobs_don_t_share_their_modules() -> None:
    sources = [b"class MyMapper:\n    text = 'one'", b"class MyMapper:\n    text = 'two'"]
    programs = [loaded(s, f"job{number}", reducers=0) for number, s in enumerate(sources)]
    assert [program.steps[0].mapper().text for program in programs] == ["one", "two"]


def test_a_name_that_is_gone_after_running_is_an_error() -> None:
    with pytest.raises(SourceError, match="after it has run"):
        loaded(b"class MyMapper: ...\ndel MyMapper\n", reducers=0)


PARAMETRISED = b"""\
from mapreduce import Job, Mapper

def job(rounds: int, damping: float = 0.85, quick: bool = False, name="plain"):
    print(repr([rounds, damping, quick, name]))
    return Job("job", mapper=Mapper, params={"rounds": rounds, "set_by": "job"}, files=["not here"])
"""


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"rounds": "3"}, [3, 0.85, False, "plain"]),
        ({"rounds": "-3", "damping": "1", "quick": "yes", "name": "7"}, [-3, 1.0, True, "7"]),
        ({"rounds": "0", "quick": "no", "set_by": "job"}, [0, 0.85, False, "plain"]),
        ({"rounds": "0", "quick": "False"}, [0, 0.85, False, "plain"]),
    ],
)
def test_a_function_job_gets_its_parameters_as_the_types_it_names(
    params: dict[str, str], expected: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Where it runs, too: side files are elsewhere, and the job has set parameters of its own."""
    spec = job_spec(code=Code(filename="job.py", job="job"), params=params)
    program = shipping.load(spec, PARAMETRISED, "job")
    assert [step.mapper for step in program.steps] == [Mapper]
    assert capsys.readouterr().out == f"{expected}\n"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({}, "missing a required argument: 'rounds'"),
        ({"rounds": "3", "set_by": "hand"}, "unexpected keyword argument 'set_by'"),
        ({"rounds": "3.5"}, r"job.py: the parameter rounds of job\(.*\) is int, not '3.5'"),
        ({"rounds": "3", "damping": ""}, "damping of .* is float, not ''"),
        ({"rounds": "3", "quick": "1"}, "quick of .* is yes or no, not '1'"),
    ],
)
def test_parameters_that_a_function_job_can_not_take(params: dict[str, str], message: str) -> None:
    code = Code(filename="job.py", job="job")
    module = shipping.load_source(PARAMETRISED, "job.py", "parametrised")
    with pytest.raises(SourceError, match=message):
        shipping.job_in(module, code, params)


NOTEBOOK = """
import sys
from typing import NamedTuple
from mapreduce import Mapper, Step
from mapreduce.engine import shipping, sources
import helper
from helper import Weight

LIMIT = 3

class Point(NamedTuple):
    x: int

class Words(Mapper):
    def map(self, key, value):
        values = [Point(helper.ONE), Point(helper.ONE), Weight(0.5)]
        return list(zip(value.split()[:LIMIT], values))

code, data = shipping.pickle_program(shipping.Program((Words,), (Step(mapper=Words),)))
assert code.kind == "pickle"
sys.stdout.buffer.write(data)
"""


HELPER = """
from typing import NamedTuple
import deeper

ONE = deeper.ONE

class Weight(NamedTuple):
    kilograms: float
"""


def test_classes_of_main_and_of_files_beside_it_run_where_these_are_not(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    (tmp_path / "deeper.py").write_text("ONE = 1\n")
    (tmp_path / "elsewhere").mkdir()
    script = tmp_path / "notebook.py"
    script.write_text(NOTEBOOK)
    data = subprocess.run([sys.executable, script], capture_output=True, check=True).stdout
    load = (
        "import sys; from mapreduce.engine import shipping;"
        "from mapreduce.engine.orders import Code, JobSpec;"
        "spec = JobSpec(name='job', inputs=(), output='/out', code=Code(kind='pickle'));"
        "words = shipping.load(spec, sys.stdin.buffer.read(), 'job').mappers[0]();"
        "import pickle; print(pickle.loads(pickle.dumps(words.map(0, 'a b c d'))))"
    )
    told = subprocess.run(
        [sys.executable, "-c", load],
        input=data,
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        check=True,
    )
    assert told.stdout.decode().strip() == (
        "[('a', Point(x=1)), ('b', Point(x=1)), ('c', Weight(kilograms=0.5))]"
    )


def test_a_module_that_is_sent_as_a_file_goes_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "locked.py").write_text("import threading\nheld = threading.Lock()\n")
    (tmp_path / "program.py").write_text(
        "import locked\nclass Words:\n    def map(self, key, value): return locked.held\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    words = importlib.import_module("program").Words
    program = Program((words,), (Step(mapper=words),))
    with pytest.raises(JobError, match=r"lock.* give the job that file: modules=\[...\]"):
        shipping.pickle_program(program)
    _, data = shipping.pickle_program(program, sent_as_files={"locked"})
    assert b"locked" in data
    for name in ("program", "locked"):
        monkeypatch.delitem(sys.modules, name)


def test_what_stood_for_a_module_does_not_hide_it_from_the_next_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "described.py").write_text("class Words: ...\nLIMIT = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    words = importlib.import_module("described").Words
    code, data = shipping.pickle_program(Program((words,), (Step(mapper=words),)))
    monkeypatch.delitem(sys.modules, "described")  # as on another machine
    shipping.load(job_spec(code=code), data, "first")
    assert not hasattr(sys.modules["described"], "LIMIT")

    source = b"from described import LIMIT\nclass Last:\n    limit = LIMIT\n"
    [last] = shipping.load(job_spec(mapper="Last"), source, "second").mappers
    assert last.limit == 3


def test_what_can_not_be_pickled_is_one_clear_error() -> None:
    lock = __import__("threading").Lock()

    class Holds:
        held = lock

    with pytest.raises(JobError, match="can't be sent to where they run"):
        shipping.pickle_program(Program((Holds,), (Step(mapper=Holds),)))
