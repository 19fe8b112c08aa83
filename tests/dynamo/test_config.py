"""cluster.ini: what it gives, its defaults, and one clear line for each mistake."""

from pathlib import Path

import pytest

from dynamo.config import KEYS, ClusterConfig, HostConfig, LimitsConfig, NodeConfig, load
from dynamo.errors import ConfigError

ROOT = Path(__file__).parents[2]

THREE_NODES = """\
[cluster]
name = test
[node a]
address = 127.0.0.1:7001
[node b]
address = localhost:7002
[node c]
address = 127.0.0.2:7001
[master m]
address = 127.0.0.1:7000
[worker w]
node = b
slots = 5
"""


def load_text(tmp_path: Path, text: str) -> ClusterConfig:
    path = tmp_path / "cluster.ini"
    path.write_text(text)
    return load(path)


def test_a_file_gives_its_nodes_master_and_workers(tmp_path: Path) -> None:
    config = load_text(tmp_path, THREE_NODES)
    assert config.name == "test"
    assert config.node("b") == NodeConfig(
        "b", "127.0.0.1:7002", tmp_path / "var" / "b", "127.0.0.1"
    )
    assert [node.name for node in config.nodes] == ["a", "b", "c"]
    assert config.node_addresses["c"] == "127.0.0.2:7001"
    assert config.master("m").address == "127.0.0.1:7000"
    assert (config.worker("w").node, config.worker("w").slots) == ("b", 5)


def test_defaults(tmp_path: Path) -> None:
    config = load_text(tmp_path, THREE_NODES)
    assert (config.replicas, config.read_quorum, config.write_quorum) == (3, 2, 2)
    assert (config.partitions, config.timeout_s, config.fsync) == (64, 10.0, True)
    assert (config.reserve_mb, config.reap_after_s) == (64, 3600.0)
    assert config.data == tmp_path / "var"


def test_tombstones_may_be_kept_for_ever(tmp_path: Path) -> None:
    config = load_text(tmp_path, "[cluster]\nreap_after_s = 0\n" + THREE_NODES.partition("\n")[2])
    assert config.reap_after_s == 0.0


def test_one_node_alone_needs_no_quorums_in_the_file(tmp_path: Path) -> None:
    config = load_text(tmp_path, "[node a]\naddress = 127.0.0.1:7001\n")
    assert (config.replicas, config.read_quorum, config.write_quorum) == (1, 1, 1)
    assert config.masters == config.workers == ()


def test_slots_share_the_machine(tmp_path: Path) -> None:
    text = THREE_NODES.replace("slots = 5", "") + "[worker x]\nnode = a\n"
    config = load_text(tmp_path, text)
    assert len({worker.slots for worker in config.workers}) == 1
    assert config.workers[0].slots >= 1


def test_a_donor_says_what_a_worker_s_tasks_may_take(tmp_path: Path) -> None:
    limits = "cpu_share = 12.5 %\nmemory_mb = 640\ndisk_mb = 5\nopen_files = 64\nprocesses = 9\n"
    worker = load_text(tmp_path, THREE_NODES + "sandbox = bwrap\n" + limits).worker("w")
    assert worker.limits == LimitsConfig("bwrap", 0.125, 640, 5, 64, 9)
    assert load_text(tmp_path, THREE_NODES).worker("w").limits == LimitsConfig()


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    text = "[cluster]\ndata = ../here\n[node a]\naddress = 127.0.0.1:1\ndata = own\n"
    (tmp_path / "folder").mkdir()
    config = load_text(tmp_path / "folder", text)
    assert config.data == tmp_path / "here"
    assert config.node("a").data == tmp_path / "folder" / "own"


def test_comments_and_case_do_not_matter(tmp_path: Path) -> None:
    text = "[cluster]\nFSYNC = No  # faster\n[node a]\naddress = 127.0.0.1:7001 ; here\n"
    config = load_text(tmp_path, text)
    assert config.fsync is False
    assert config.node("a").address == "127.0.0.1:7001"


def test_the_example_is_valid_and_explains_every_key() -> None:
    path = ROOT / "cluster.ini"
    config = load(path)
    assert (len(config.nodes), len(config.masters), len(config.workers)) == (3, 3, 3)
    assert [worker.node for worker in config.workers] == [node.name for node in config.nodes]
    missing = [
        row.name for rows in KEYS.values() for row in rows if row.name not in path.read_text()
    ]
    assert missing == []


def test_every_default_of_the_tables_can_be_read() -> None:
    for rows in KEYS.values():
        for row in rows:
            assert row.meaning
            if isinstance(row.default, str):
                row.read(row.default)


HOSTS = """\
[cluster]
trusted_network = yes
[node a]
address = 10.0.0.5:7401
[node b]
address = 10.0.0.6:7401
host = second
[node c]
address = 10.0.0.6:7402
host = second
[master m]
address = 127.0.0.1:7400
[worker w1]
node = a
[worker w2]
node = b
slots = 3
[worker w5]
node = a
host = donated
[host second]
ssh = ann@second.example
ssh_options = -p 2222 -i 'a key'
folder = /srv/mapreduce
python = .venv/bin/python
"""


def test_a_server_is_on_the_host_of_its_address_or_the_one_it_names(tmp_path: Path) -> None:
    config = load_text(tmp_path, HOSTS)
    assert [node.host for node in config.nodes] == ["10.0.0.5", "second", "second"]
    assert config.master("m").host == "127.0.0.1"
    assert [worker.host for worker in config.workers] == ["10.0.0.5", "second", "donated"]
    assert [h.name for h in config.hosts] == ["10.0.0.5", "second", "127.0.0.1", "donated"]


def test_how_ssh_gets_to_a_host(tmp_path: Path) -> None:
    config = load_text(tmp_path, HOSTS)
    assert config.host("10.0.0.5") == HostConfig("10.0.0.5", "10.0.0.5", (), str(tmp_path), "")
    options = ("-p", "2222", "-i", "a key")
    assert config.host("second") == HostConfig(
        "second", "ann@second.example", options, "/srv/mapreduce", ".venv/bin/python"
    )
    with pytest.raises(ConfigError, match=r"no server is on a host 'third'; they are on 10.0.0.5,"):
        config.host("third")


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"second": 0}, ["w1 a", "w5 a"]),
        ({"second": 1, "10.0.0.5": 1}, ["w1 a", "w2 b", "w5 a"]),
        ({"second": 3}, ["second-w1 c", "second-w2 b", "w1 a", "w2 b", "w5 a"]),
        ({"donated": 7, "127.0.0.1": 7}, ["w1 a", "w2 b", "w5 a"]),
    ],
)
def test_a_host_may_have_more_workers_or_fewer_spread_over_its_nodes(
    tmp_path: Path, counts: dict[str, int], expected: list[str]
) -> None:
    load_text(tmp_path, HOSTS)
    workers = load(tmp_path / "cluster.ini", counts).workers
    assert sorted(f"{worker.name} {worker.node}" for worker in workers) == expected
    assert {worker.slots for worker in workers if worker.host == "second"} <= {3}


NODE = "[node a]\naddress = 127.0.0.1:7001\n"
TWO = NODE + "[node b]\naddress = 127.0.0.1:7002\n"
MASTER = "[master m]\naddress = 127.0.0.1:7000\n"

WORKER = NODE + MASTER + "[worker w]\nnode = a\nslots = 2\n"

MISTAKES = {
    "an unknown sandbox": (WORKER + "sandbox = yes\n", "expected none, limits or bwrap"),
    "a share of nothing": (WORKER + "sandbox = limits\ncpu_share = 0%\n", "from 1% to 100%"),
    "a share that is no percentage": (WORKER + "cpu_share = 0.1\n", "such as 10%"),
    "few open files": (WORKER + "open_files = 10\n", "expected a whole number from 64"),
    "a limit that nothing keeps": (WORKER + "disk_mb = 9\n", "disk_mb = 9 in [worker w]: nothing"),
    "limits without a limit": (WORKER + "sandbox = limits\n", "there is no limit to keep"),
    "too little memory for Python": (
        WORKER + "sandbox = limits\nmemory_mb = 200\n",
        "memory_mb = 200 in [worker w]: its 2 slots need at least 128 MiB each",
    ),
    "no nodes": ("[cluster]\n", "cluster.ini: no nodes"),
    "a line without a key": (NODE + "what is this\n", "cluster.ini:3: 'what is this' is neither"),
    "a key before any section": ("a = 1\n" + NODE, "cluster.ini:1: 'a = 1' stands before"),
    "an unknown section": (NODE + "[nodes b]\n", "cluster.ini:3: unknown section [nodes b]"),
    "a node without a name": ("[node]\naddress = 127.0.0.1:1\n", ":1: unknown section [node]"),
    "a cluster with a name": ("[cluster x]\n" + NODE, ":1: unknown section [cluster x]"),
    "the default section": ("[DEFAULT]\nname = x\n" + NODE, ":1: unknown section [DEFAULT]"),
    "a name no folder has": ("[node ../a]\naddress = 127.0.0.1:1\n", ":1: section [node ../a]"),
    "a section twice": (NODE + NODE, "cluster.ini:3: [node a] is there twice"),
    "a section twice with spaces": (NODE + "[node  a]\n", ":3: [node a] is there twice"),
    "a key twice": (NODE + "address = 127.0.0.1:2\n", ":3: key 'address' is there twice"),
    "an unknown key": (NODE + "port = 7\n", "cluster.ini:3: unknown key 'port' in [node a]"),
    "a missing key": ("[node a]\n", "cluster.ini:1: [node a] lacks the key 'address'"),
    "a bad number": ("[cluster]\nreplicas = three\n" + NODE, ":2: replicas = three"),
    "zero": ("[cluster]\nread_quorum = 0\n" + NODE, ":2: read_quorum = 0"),
    "a number over two lines": ("[cluster]\nreplicas = 1\n  2\n" + NODE, ":2: replicas = 1 2"),
    "partitions not a power of two": ("[cluster]\npartitions = 60\n" + NODE, "power of two"),
    "a bad time": ("[cluster]\ntimeout_s = nan\n" + NODE, ":2: timeout_s = nan"),
    "a bad time to reap": ("[cluster]\nreap_after_s = soon\n" + NODE, "seconds, or 0 for never"),
    "a time to reap below 0": ("[cluster]\nreap_after_s = -1\n" + NODE, ":2: reap_after_s = -1"),
    "a time to reap within a request's": (
        "[cluster]\ntimeout_s = 20\nreap_after_s = 20\n" + NODE,
        ":3: reap_after_s = 20 in [cluster]: it is 20, and a request",
    ),
    "a request's time over the time to reap": (
        "[cluster]\ntimeout_s = 7200\n" + NODE,
        ":1: [cluster]: it is 3600, and a request",
    ),
    "a bad yes or no": ("[cluster]\nfsync = perhaps\n" + NODE, "expected yes or no"),
    "no folder": ("[cluster]\ndata =\n" + NODE, "expected the path of a folder"),
    "R over N": ("[cluster]\nread_quorum = 2\n" + NODE, ":2: read_quorum = 2 in [cluster]"),
    "W over N": ("[cluster]\n\nwrite_quorum = 3\n" + TWO, ":3: write_quorum = 3 in [cluster]"),
    "N over the nodes": ("[cluster]\nreplicas = 3\n" + TWO, ":2: replicas = 3 in [cluster]: the"),
    "more nodes than partitions": ("[cluster]\npartitions = 1\n" + TWO, "2 nodes need"),
    "an address twice": (TWO.replace("7002", "7001"), ":4: address = 127.0.0.1:7001 in [node b]"),
    "the master's address": (NODE + MASTER.replace("7000", "7001"), ":4: address"),
    "a folder twice": (TWO + "data = var/a\n", ":5: data = var/a in [node b]: [node a] has"),
    "an address without port": ("[node a]\naddress = 127.0.0.1\n", "expected host:port"),
    "a port out of range": ("[node a]\naddress = 127.0.0.1:70000\n", "from 1 to 65535"),
    "every interface": ("[node a]\naddress = 0.0.0.0:7001\n", "0.0.0.0 is not an IPv4 loopback"),
    "another machine": ("[node a]\naddress = db1.example:7001\n", "servers have no keys yet"),
    "every interface of a trusted network": (
        "[cluster]\ntrusted_network = yes\n[node a]\naddress = 0.0.0.0:7001\n",
        ":4: address = 0.0.0.0:7001 in [node a]: 0.0.0.0 is no address of one machine",
    ),
    "a name in a trusted network": (
        "[cluster]\ntrusted_network = yes\n[node a]\naddress = db1.example:7001\n",
        "db1.example is no address of one machine: write its IPv4 address",
    ),
    "a host without servers": (
        NODE + "[host b]\n",
        ":3: [host b]: no server is on this host; they are on 127.0.0.1",
    ),
    "an option in the place of a host": (
        NODE + "[host 127.0.0.1]\nssh = -oProxyCommand=x\n",
        ":4: ssh = -oProxyCommand=x in [host 127.0.0.1]: expected NAME or USER@NAME",
    ),
    "ssh options with an open quote": (
        NODE + "[host 127.0.0.1]\nssh_options = -i 'key\n",
        ":4: ssh_options = -i 'key in [host 127.0.0.1]: expected words as in a shell",
    ),
    "a worker without its node": (NODE + MASTER + "[worker w]\nnode = z\n", ":6: node = z"),
    "a worker without a master": (NODE + "[worker w]\nnode = a\n", ":3: [worker w]: a worker"),
    "masters that can't elect": (
        NODE + MASTER + "election = 127.0.0.1:7010\n[master k]\naddress = 127.0.0.1:9\n",
        ":6: [master k]: there is more than one master, and so each needs the key 'election'",
    ),
    "an election at another's address": (
        NODE + MASTER + "election = 127.0.0.1:7001\n",
        ":5: election = 127.0.0.1:7001 in [master m]: it is the address of [node a]",
    ),
    "an election at an address of its own": (
        NODE + MASTER + "election = 127.0.0.1:7000\n",
        ":5: election = 127.0.0.1:7000 in [master m]: it is the address of [master m]",
    ),
    "an election that others can reach": (
        NODE + MASTER + "election = 0.0.0.0:7010\n",
        "0.0.0.0 is not an IPv4 loopback",
    ),
    "a master and a node in one folder": (
        NODE + MASTER.replace("master m", "master a"),
        ":3: [master a]: its folder",
    ),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_one_line_with_file_line_and_key(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(tmp_path, text)
    message = str(caught.value)
    assert expected in message
    assert str(tmp_path / "cluster.ini") in message
    assert "\n" not in message


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; name a cluster.ini with --config"):
        load(tmp_path / "none.ini")


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "cluster.ini").write_bytes(b"[node \xff]")
    with pytest.raises(ConfigError, match=r"not a text in UTF-8 \(byte 6\)"):
        load(tmp_path / "cluster.ini")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="can't be read: Is a directory"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["node", "master", "worker"])
def test_a_name_that_is_not_in_the_file(tmp_path: Path, kind: str) -> None:
    config = load_text(tmp_path, THREE_NODES)
    with pytest.raises(ConfigError, match=rf"no \[{kind} zz\] in the file; it has [abmw]"):
        getattr(config, kind)("zz")
