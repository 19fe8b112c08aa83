"""A master and two workers, for all tests that leave them as they were."""

from collections.abc import Iterator

import pytest

from tests.mapreduce.cluster.serving import Cluster, with_books


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with with_books(tmp_path_factory.mktemp("cluster") / "store") as cluster:
        yield cluster
