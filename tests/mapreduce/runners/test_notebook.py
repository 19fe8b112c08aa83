"""What a notebook shows of jobs: HTML that is whole, and that user text can't break."""

import sys
import types
from html.parser import HTMLParser

import msgspec

from mapreduce.cluster.records import JobRecord, StageRecord
from mapreduce.engine.events import JobState
from mapreduce.runners import notebook

RECORD = JobRecord(
    name="wc",
    state=JobState.RUNNING,
    inputs=("/books",),
    output="/out/<wc>",
    output_format="text",
    created_at=0.0,
    started_at=1.0,
    ended_at=3.5,
    error="Traceback: a < b & c",
    map=StageRecord(total=4, done=3, running=1, seconds=2.0),
    counters={"words & more": 1200},
)


class Reader(HTMLParser):
    """Texts and bars of a page; every tag has to be closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.bars: list[dict] = []
        self.open: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        if tag == "progress":
            self.bars.append(dict(attributes))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def plain(record: JobRecord) -> dict:
    return msgspec.to_builtins(record)


def test_a_job_is_a_bar_and_a_table_for_each_stage_that_has_tasks():
    page = Reader(notebook.job(plain(RECORD)))
    assert page.bars == [{"value": "3", "max": "4"}]
    assert [text for text in page.texts if text in ("map", "reduce")] == ["map"]
    for text in ("wc", " 3 of 4", "words & more", "1,200", "Traceback: a < b & c"):
        assert text in page.texts


def test_jobs_are_a_table():
    new = JobRecord(name="new", state=JobState.NEW, inputs=(), output="/out", output_format="text",
                    created_at=0.0)  # fmt: skip
    texts = Reader(notebook.jobs([plain(RECORD), plain(new)])).texts
    assert texts[: len(notebook.JOB_COLUMNS)] == list(notebook.JOB_COLUMNS)
    assert {"wc", "3/4", "2.50", "/out/<wc>", "new", "-"} <= set(texts)


def test_a_running_job_is_followed_in_one_place(monkeypatch):
    shown = []

    class Handle:
        def update(self, view):
            shown.append(view._repr_html_())

    def display(view, display_id):
        shown.append(view._repr_html_())
        return Handle()

    module = types.SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(display=module))
    with notebook.live(plain(RECORD)) as show:
        show(plain(msgspec.structs.replace(RECORD, map=StageRecord(total=4, done=4))))
    assert [Reader(page).bars[0]["value"] for page in shown] == ["3", "4"]


def test_only_a_notebooks_kernel_is_a_notebook(monkeypatch):
    class ZMQInteractiveShell: ...

    class TerminalInteractiveShell: ...

    for shell, answer in ((ZMQInteractiveShell, True), (TerminalInteractiveShell, False)):
        monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=shell))
        assert notebook.is_here() is answer
    monkeypatch.delitem(sys.modules, "IPython")
    assert not notebook.is_here()
