"""The commands as a user calls them, on a store in memory where no cluster is needed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.cluster_processes import ClusterProcesses
from cli.dynamo import main as dynamo_main
from cli.local_cluster import write_config
from cli.mapreduce import main
from dynamo.config import ClusterConfig
from dynamo.store import MemoryStore

TEXT = "to be or not to be\nthat is the question\n" * 50
ONE_NODE = "[node n1]\naddress = 127.0.0.1:7401\n"


Call = Callable[..., Result]


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


@pytest.fixture(scope="package")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterConfig]:
    """A cluster that runs, with a file at /texts/hamlet."""
    folder = tmp_path_factory.mktemp("cluster")
    config = write_config(folder, workers=2, slots=1)
    cluster = ClusterProcesses(config)
    try:
        cluster.up(lambda line: None)
        (folder / "hamlet").write_text(TEXT)
        arguments = ["put", str(folder / "hamlet"), "/texts/", "--config", str(config.path)]
        assert CliRunner().invoke(dynamo_main, arguments).exit_code == 0
        yield config
    finally:
        cluster.down(lambda line: None)


@pytest.fixture
def mapreduce(config: ClusterConfig, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("DYNAMO_CONFIG", str(config.path))
    return lambda *arguments: CliRunner().invoke(main, [str(one) for one in arguments])


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def failed(result: Result, exit_code: int, text: str) -> None:
    assert result.exit_code == exit_code, result.output
    assert text in result.stderr
    assert "Traceback" not in result.stderr
