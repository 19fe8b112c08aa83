"""The client of a running cluster does what every store must."""

import pytest

from dynamo.net.client import Client
from tests.dynamo.store_battery import StoreBattery


class TestClient(StoreBattery):
    @pytest.fixture
    def store(self, client: Client) -> Client:
        return client
