"""The plain calls of a node, as any zerorpc client in any language makes them."""

from collections.abc import Iterator

import pytest
import zerorpc

from cli.local_cluster import free_ports, write_config
from dynamo.config import ClusterConfig
from dynamo.errors import NodeFailed
from dynamo.net.client import Client
from dynamo.net.server import serve
from tests.waiting import wait_until


@pytest.fixture
def plain(cluster: ClusterConfig) -> Iterator[zerorpc.Client]:
    rpc = zerorpc.Client(f"tcp://{cluster.nodes[0].address}", timeout=15)
    yield rpc
    rpc.close()


def test_put_get_delete_locate_status(plain: zerorpc.Client, client: Client) -> None:
    assert len(plain.put("from afar", b"\x00bytes")["nodes"]) >= 2
    assert plain.get("from afar")["values"] == [b"\x00bytes"]
    assert client.get("from afar").value == b"\x00bytes"
    plain.put("from afar", "text")
    assert plain.get("from afar")["values"] == [b"text"]
    assert tuple(plain.locate("from afar")) == client.locate("from afar")
    plain.delete("from afar")
    assert plain.get("from afar")["values"] == []
    assert plain.status()["name"] == "n1"


def test_a_plain_put_may_have_a_time_to_live(plain: zerorpc.Client) -> None:
    plain.put("passing", b"1", 0.1)
    wait_until(lambda: plain.get("passing")["values"] == [], 10, "its end")


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (("put", "key", 5), "a value is bytes, not int"),
        (("put", 7, b""), "a key is a text"),
        (("put", "key", b"", "soon"), "ttl_s is a number of seconds over 0, not 'soon'"),
        (("put", "key"), "missing 1 required positional argument: 'value'"),
        (("locate", 7), "a key is a text"),
        (("get", ""), "a key is a text"),
        (("put", "k" * 2000, b""), "over the limit"),
        (("exchange", b"rubbish"), "a frame of version"),
        (("exchange", "text"), "takes one frame of bytes"),
    ],
)
def test_a_wrong_argument_is_answered_with_a_readable_error(
    plain: zerorpc.Client, call: tuple[object, ...], complaint: str
) -> None:
    with pytest.raises(zerorpc.RemoteError, match=complaint):
        plain(*call)


def test_only_the_calls_meant_for_it_are_published(plain: zerorpc.Client) -> None:
    assert sorted(plain._zerorpc_list()) == [
        "delete",
        "exchange",
        "get",
        "locate",
        "put",
        "status",
    ]


def test_a_port_in_use_is_told_in_one_line(cluster: ClusterConfig, tmp_path) -> None:  # type: ignore[no-untyped-def]
    config = write_config(tmp_path, nodes=3, masters=0, workers=0)
    text = config.path.read_text().replace(config.nodes[0].address, cluster.nodes[0].address)
    config.path.write_text(text)
    from dynamo.config import load

    with pytest.raises(NodeFailed, match=r"can't listen on .*in use.*another address"):
        serve(load(config.path), "n1", ready=lambda: None)
    assert free_ports(1)
