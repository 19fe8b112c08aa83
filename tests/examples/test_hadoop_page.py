"""The commands of docs/hadoop.md do what it says; its Python runs with all other examples."""

from pathlib import Path

import pytest

from tests.examples.running import EXAMPLES, commands_of, on_a_cluster

PAGE = (EXAMPLES.parent / "docs" / "hadoop.md").read_text("utf-8")


@pytest.mark.systems
def test_one_program_runs_in_three_ways_with_one_output(tmp_path: Path) -> None:
    on_a_cluster(commands_of(PAGE), tmp_path)
    texts = [(tmp_path / out / "part-00000").read_text() for out in ("out", "out2", "out3")]
    assert texts == ["be\t2\nnot\t1\nor\t1\nto\t2\n"] * 3
    assert not list((tmp_path / "var" / "run").glob("*.json"))
