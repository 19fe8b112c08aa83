from pathlib import Path

import pytest

from tests.mapreduce.hadoop.jobs import LINES


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_text(LINES)
    return tmp_path / "book.txt"
