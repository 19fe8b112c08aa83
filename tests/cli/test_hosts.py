"""Servers on several hosts, and any number of workers on one: `mapreduce up` and `down`."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli import cluster_processes
from cli.cluster_processes import ClusterProcesses
from cli.dynamo import main as dynamo_main
from cli.errors import Failure
from cli.local_cluster import free_ports, write_config
from cli.mapreduce import main
from cli.options import open_store
from dynamo.config import load
from tests.cli.conftest import done, failed
from tests.cli.sshd import ROOT, SshServer, ssh_server

A, B = "127.0.0.2", "127.0.0.3"


def two_hosts(folder: Path, sections: str = "") -> Path:
    """A cluster.ini with a store node on each of two "hosts", both on loopback."""
    folder.mkdir(exist_ok=True)
    one, other = free_ports(2)
    path = folder / "cluster.ini"
    path.write_text(f"[node n1]\naddress = {A}:{one}\n[node n2]\naddress = {B}:{other}\n{sections}")
    return path


def mapreduce(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--config", str(path)])


def running(path: Path) -> list[str]:
    return [server.label for server in ClusterProcesses(load(path)).running()]


# Each host by itself -----------------------------------------------------------------------------


def test_up_alone_starts_nothing_where_there_are_several_hosts(tmp_path: Path) -> None:
    path = two_hosts(tmp_path)
    result = mapreduce(path, "up")
    failed(result, 2, f"names servers on 2 hosts:\n  {A}: node n1\n  {B}: node n2\n")
    assert "`mapreduce up --host NAME`" in result.stderr
    assert "`mapreduce up --ssh`" in result.stderr
    assert not (tmp_path / "var").exists()


@pytest.mark.parametrize("command", ["up", "down"])
def test_a_host_that_no_server_is_on_is_refused(tmp_path: Path, command: str) -> None:
    result = mapreduce(two_hosts(tmp_path), command, "--host", "c")
    failed(result, 2, f"no server is on a host 'c'; they are on {A}, {B}")


def test_a_host_that_is_another_machine_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cluster.ini"
    path.write_text("[cluster]\ntrusted_network = yes\n[node n1]\naddress = 192.0.2.1:7401\n")
    failed(mapreduce(path, "up"), 2, "192.0.2.1, the address of node n1, is none of this machine")
    assert not (tmp_path / "var").exists()


def test_each_host_starts_and_stops_its_own_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_processes, "OTHERS_S", 0.2)
    path = two_hosts(tmp_path)
    try:
        first = done(mapreduce(path, "up", "--host", A)).stdout
        assert first == "node n1 runs, and waits for servers of other hosts\n"
        assert running(path) == ["node-n1"]
        monkeypatch.setattr(cluster_processes, "OTHERS_S", 30.0)
        second = done(mapreduce(path, "up", "--host", B)).stdout
        assert second == f"node n2 answers on {load(path).node('n2').address}\n"
        with open_store(load(path)) as store:
            store.put("colour", b"green")
        assert done(mapreduce(path, "down", "--host", A)).stdout == "node n1 stopped\n"
        assert running(path) == ["node-n2"]
        assert done(mapreduce(path, "down", "node-n1")).stdout == ""
        assert done(mapreduce(path, "down", "node-n2")).stdout == "node n2 stopped\n"
    finally:
        mapreduce(path, "down")


# As many workers as wanted -----------------------------------------------------------------------


def test_workers_as_many_as_wanted_until_down(tmp_path: Path) -> None:
    path = write_config(tmp_path, nodes=1, workers=1, slots=1).path
    try:
        more = done(mapreduce(path, "up", "--workers", "2")).stdout
        assert sorted(more.splitlines())[-2:] == ["worker w1 answers", "worker w2 answers"]
        again = done(mapreduce(path, "up", "--workers", "2")).stdout
        assert again.count("runs already") == 4
        status = done(mapreduce(path, "status")).stdout
        assert status.count("0 of 1 slots at work") == 2
        fewer = done(mapreduce(path, "up", "--workers", "1")).stdout
        assert fewer.splitlines()[-1] == "worker w2 stopped"
        assert done(mapreduce(path, "status")).stdout.count("slots at work") == 1
        assert done(mapreduce(path, "up")).stdout.count("runs already") == 3
        assert len(done(mapreduce(path, "down")).stdout.splitlines()) == 3
        assert list((tmp_path / "var" / "run").glob("*.json")) == []
    finally:
        mapreduce(path, "down")


def test_a_start_whose_caller_goes_is_taken_back_at_once(tmp_path: Path) -> None:
    path = two_hosts(tmp_path)  # n1 would wait for n2
    reading, writing = os.pipe()
    os.close(writing)
    try:
        with pytest.raises(Failure, match=r"given up: .* is gone"):
            ClusterProcesses(load(path), reading).up(print, A)
    finally:
        os.close(reading)
    assert running(path) == []


def test_workers_need_a_master_and_a_node_of_their_host(tmp_path: Path) -> None:
    path = two_hosts(tmp_path)
    failed(mapreduce(path, "up", "--host", A, "--workers", "2"), 2, "workers need a master")
    (port,) = free_ports(1)
    master = f"[master m]\naddress = 127.0.0.1:{port}\n"
    path.write_text(path.read_text() + master)
    result = mapreduce(path, "up", "--host", "127.0.0.1", "--workers", "2")
    failed(result, 2, "host 127.0.0.1 has no store node for workers to be beside")
    assert not (tmp_path / "var" / "run" / "workers.json").exists()


# All hosts through ssh ---------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path / "sshd") as server:
        yield server


@pytest.mark.parametrize("arguments", [["up", "--host", A], ["up", "--workers", "2"],
                                       ["down", "node-n1"]])  # fmt: skip
def test_ssh_is_for_all_hosts(tmp_path: Path, arguments: list[str]) -> None:
    result = mapreduce(two_hosts(tmp_path), *arguments, "--ssh")
    failed(result, 2, "--ssh is for all servers of all hosts; give it alone")


def test_up_and_down_of_all_hosts_through_ssh(tmp_path: Path, server: SshServer) -> None:
    there = {A: tmp_path / "a", B: tmp_path / "b"}
    sections = "".join(server.section(host, place) for host, place in there.items())
    path = two_hosts(tmp_path / "here", sections)
    try:
        told = done(mapreduce(path, "up", "--ssh")).stdout.splitlines()
        assert {f"{A}: cluster.ini copied", f"{B}: cluster.ini copied"} <= set(told)
        assert told[-1] == "all servers answer"
        assert [running(place / "cluster.ini") for place in there.values()] == [
            ["node-n1"],
            ["node-n2"],
        ]
        with open_store(load(path)) as store:
            assert sorted(store.put("colour", b"green").nodes) == ["n1", "n2"]
        stopped = done(mapreduce(path, "down", "--ssh")).stdout.splitlines()
        assert sorted(stopped) == [f"{A}: node n1 stopped", f"{B}: node n2 stopped"]
    finally:
        for place in there.values():
            if (place / "cluster.ini").exists():
                mapreduce(place / "cluster.ini", "down")


def test_a_host_that_ssh_cannot_reach_is_one_clear_line(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    options = f"ssh_options = -F none -p {port}\n"
    sections = "".join(f"[host {host}]\nssh = 127.0.0.1\n{options}" for host in (A, B))
    result = mapreduce(two_hosts(tmp_path, sections), "up", "--ssh")
    failed(result, 1, f"host {A}: ssh can't get to 127.0.0.1: ")
    assert "Connection refused" in result.stderr


def test_what_is_wrong_on_a_host_is_said_before_anything_starts(
    tmp_path: Path, server: SshServer
) -> None:
    old = tmp_path / "old-python"
    old.write_text("#!/bin/sh\necho 'mapreduce, version 0.0.1'\n")
    old.chmod(0o755)
    (tmp_path / "file").write_text("")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "cluster.ini").write_text("[node other]\n")
    nodes = "".join(
        f"[node n{n}]\naddress = 127.0.0.{n}:{port}\n"
        for n, port in zip(range(4, 6), free_ports(2))
    )
    sections = [
        nodes,
        server.section(A, tmp_path / "a", python="/nowhere/python"),
        server.section(B, tmp_path / "b"),
        server.section("127.0.0.4", tmp_path / "c", python=str(old)),
        server.section("127.0.0.5", tmp_path / "file"),
    ]
    result = mapreduce(two_hosts(tmp_path / "here", "".join(sections)), "up", "--ssh")
    failed(result, 1, f"host {A}: `/nowhere/python -m cli.mapreduce --version` there: not found: ")
    assert f"write python = PATH into [host {A}]" in result.stderr
    assert f"host {B}: {tmp_path}/b/cluster.ini differs from " in result.stderr
    assert "host 127.0.0.4 has version 0.0.1 of this package, and this one " in result.stderr
    assert f"host 127.0.0.5: the folder {tmp_path}/file can't be used: " in result.stderr
    assert (tmp_path / "b" / "cluster.ini").read_text() == "[node other]\n"
    assert not any((tmp_path / place / "var").exists() for place in ("a", "b", "c", "here"))


@pytest.mark.systems
def test_jobs_on_two_hosts_and_a_start_that_fails_on_one_leaves_the_others_as_they_were(
    tmp_path: Path, server: SshServer
) -> None:
    there = {A: tmp_path / "a", B: tmp_path / "b"}
    sections = "".join(server.section(host, place) for host, place in there.items())
    ports = free_ports(6)
    for n, host in enumerate((A, B, B), start=1):
        sections += f"[master m{n}]\naddress = {host}:{ports.pop()}\nelection = {host}:"
        sections += f"{ports.pop()}\n"
    for n in (1, 2):
        sections += f"[worker w{n}]\nnode = n{n}\nslots = 1\n"
    path = two_hosts(tmp_path / "here", sections)
    try:
        with socket.create_server((A, port_of(path, "n1"))):
            result = mapreduce(path, "up", "--ssh")
        failed(result, 1, f"host {A}: `mapreduce up`, exit status 1: node n1 has ended; its log")
        assert f"{B}: master m2 stopped" in result.stdout
        assert [running(place / "cluster.ini") for place in there.values()] == [[], []]

        assert done(mapreduce(path, "up", "--ssh")).stdout.endswith("all servers answer\n")
        again = done(mapreduce(path, "up", "--ssh")).stdout
        assert again.count("runs already") == 7
        book = tmp_path / "book.txt"
        book.write_text("to be or not to be\n" * 100)
        done(CliRunner().invoke(dynamo_main, ["put", str(book), "/book", "--config", str(path)]))
        wordcount = str(ROOT / "examples" / "wordcount.py")
        done(mapreduce(path, "new_job", "wc", wordcount, "--input", "/book", "--output", "/out"))
        assert "succeeded" in done(mapreduce(path, "run_job", "wc", "--wait")).stdout

        path.write_text(path.read_text().replace("slots = 1", "slots = 2"))
        failed(mapreduce(path, "up", "--ssh"), 1, "`mapreduce up --ssh --copy` replace it")
        replaced = done(mapreduce(path, "up", "--ssh", "--copy")).stdout
        assert replaced.count("cluster.ini replaced") == 2
        assert done(mapreduce(path, "down", "--ssh")).stdout.count(" stopped") == 7
    finally:
        for place in there.values():
            if (place / "cluster.ini").exists():
                mapreduce(place / "cluster.ini", "down")


def port_of(path: Path, node: str) -> int:
    return int(load(path).node(node).address.rpartition(":")[2])
