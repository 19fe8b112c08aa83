"""A real cluster whose cluster.ini grows and shrinks, and the command `dynamo` on it."""

import json
import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from cli.cluster_processes import ClusterProcesses, servers
from cli.dynamo import main
from cli.local_cluster import free_ports, write_config
from dynamo.config import ClusterConfig, load
from tests.waiting import wait_until


class Growing:
    """The cluster in `folder`, at first with n1, n2 and n3."""

    def __init__(self, folder: Path, settings: str = "", nodes: int = 3) -> None:
        write_config(folder, nodes=nodes, masters=0, workers=0, settings=settings)
        self.path = folder / "cluster.ini"

    @property
    def config(self) -> ClusterConfig:
        return load(self.path)

    @property
    def processes(self) -> ClusterProcesses:
        return ClusterProcesses(self.config)

    def up(self) -> None:
        self.processes.up(say=lambda line: None)

    def down(self) -> None:
        self.processes.down(say=lambda line: None)

    def add(self, name: str, port: int = 0) -> None:
        """Write one more node into cluster.ini."""
        section = f"[node {name}]\naddress = 127.0.0.1:{port or free_ports(1)[0]}\n"
        self.path.write_text(self.path.read_text() + section)

    def take_out(self, name: str) -> None:
        """Delete a node from cluster.ini."""
        text = re.sub(rf"\[node {name}\]\naddress = .*\n", "", self.path.read_text())
        self.path.write_text(text)

    def signal(self, name: str, number: int) -> None:
        """Send a signal that ends a node, and wait until it has ended."""
        (server,) = [server for server in servers(self.config) if server.name == name]
        process = self.processes.process(server)
        assert process is not None
        process.signal(number)
        wait_until(lambda: not process.alive, 15, f"the end of {name}")

    def log(self, name: str) -> str:
        (server,) = [server for server in servers(self.config) if server.name == name]
        return self.processes.log(server).read_text()

    def call(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, [*arguments, "--config", str(self.path)])

    def run(self, *arguments: str) -> str:
        """What a command that has to succeed prints."""
        result = self.call(*arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def found(self, *arguments: str) -> Any:
        """What a command prints with --json."""
        return json.loads(self.run(*arguments, "--json"))

    def settle(self) -> None:
        """Wait until nothing of a change is left to do."""
        done = "the end of a change"
        wait_until(lambda: self.found("transfers")["done"], 60, done, look_s=0.1)
