"""The commands as a user calls them, on a store in memory where no cluster is needed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.dynamo import main as dynamo_main
from dynamo.store import MemoryStore

ONE_NODE = "[node n1]\naddress = 127.0.0.1:7401\n"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def dynamo(
    tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Result]:
    """Calls the command `dynamo` in a folder that holds a cluster.ini."""
    (tmp_path / "cluster.ini").write_text(ONE_NODE)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str, stdin: bytes | None = None) -> Result:
        return CliRunner().invoke(
            dynamo_main, [str(a) for a in arguments], obj=lambda config: store, input=stdin
        )

    return call
