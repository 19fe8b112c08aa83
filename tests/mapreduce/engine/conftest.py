"""What tests of tasks in processes share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mapreduce.engine.bench import Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    with made.executor:
        yield made
