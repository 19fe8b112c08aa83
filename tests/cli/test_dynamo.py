"""The command `dynamo`: what each call stores, prints and answers to mistakes."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cli.dynamo import main
from cli.local_cluster import write_config
from dynamo import files
from dynamo.store import MemoryStore

Dynamo = Callable[..., Result]


def done(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def mistake(result: Result, text: str) -> None:
    """The caller's mistake: exit code 2, a reason on stderr, no traceback, nothing on stdout."""
    assert result.exit_code == 2, result.output
    assert text in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


def contents(store: MemoryStore, path: str) -> bytes:
    return b"".join(files.read(store, path))


# Values ------------------------------------------------------------------------------------------


def test_a_value_comes_back_as_it_was_put(dynamo: Dynamo) -> None:
    done(dynamo("put", "colour", "grün"))
    assert done(dynamo("get", "colour")).stdout == "grün"


def test_a_value_can_come_from_standard_input(dynamo: Dynamo, store: MemoryStore) -> None:
    done(dynamo("put", "noise", "-", stdin=b"\x00\xff\n"))
    assert store.get("noise").value == b"\x00\xff\n"
    assert done(dynamo("get", "noise")).stdout_bytes == b"\x00\xff\n"


def test_a_value_can_come_from_a_file(dynamo: Dynamo, store: MemoryStore, tmp_path: Path) -> None:
    (tmp_path / "logo").write_bytes(b"\x89PNG")
    done(dynamo("put", "logo", "@logo"))
    assert store.get("logo").value == b"\x89PNG"
    done(dynamo("get", "logo", "-o", "copy"))
    assert (tmp_path / "copy").read_bytes() == b"\x89PNG"


def test_a_value_that_is_not_there(dynamo: Dynamo) -> None:
    mistake(dynamo("get", "colour"), "nothing is stored under 'colour'")


def test_a_deleted_value_is_gone(dynamo: Dynamo) -> None:
    done(dynamo("put", "colour", "green"))
    done(dynamo("delete", "colour"))
    done(dynamo("delete", "colour"))
    assert dynamo("get", "colour").exit_code == 2


def test_siblings_are_told_of(dynamo: Dynamo, store: MemoryStore) -> None:
    store.put("cart", b"milk", context={})
    store.put("cart", b"eggs", context={})
    result = done(dynamo("get", "cart"))
    assert result.stdout == "eggs"
    assert "'cart' has 2 siblings" in result.stderr
    assert done(dynamo("get", "cart", "--all")).stdout == "eggs\nmilk\n"


def test_a_value_over_the_limit_is_refused(dynamo: Dynamo, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(9 << 20))
    mistake(dynamo("put", "big", "@big"), "over the limit")


# Files -------------------------------------------------------------------------------------------


def test_a_file_goes_there_and_back(dynamo: Dynamo, tmp_path: Path) -> None:
    data = b"line\n" * 500_000
    (tmp_path / "a.txt").write_bytes(data)
    assert "stored 1 file, 2.4 MiB" in done(dynamo("put", "a.txt", "/texts/a.txt")).stderr
    assert done(dynamo("get", "/texts/a.txt")).stdout_bytes == data
    done(dynamo("get", "/texts/a.txt", "-o", "b.txt"))
    assert (tmp_path / "b.txt").read_bytes() == data


def test_a_target_that_ends_with_a_slash_is_a_folder(
    dynamo: Dynamo, store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("a")
    done(dynamo("put", "a.txt", "/texts/"))
    assert contents(store, "/texts/a.txt") == b"a"


def test_several_files_keep_their_names(dynamo: Dynamo, store: MemoryStore, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    done(dynamo("put", "a", "b", "/texts"))
    assert list(store.list("/")) == ["/texts/a", "/texts/b"]


def test_a_folder_goes_there_and_back(dynamo: Dynamo, store: MemoryStore, tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / "books" / f"part{number % 3}" / f"{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"book {number}")
    done(dynamo("put", "-r", "books/", "/books"))
    assert contents(store, "/books/part1/4.txt") == b"book 4"
    done(dynamo("get", "/books", "-r", "-o", "back"))
    back = {p.relative_to(tmp_path / "back"): p.read_text() for p in tmp_path.glob("back/*/*")}
    there = {p.relative_to(tmp_path / "books"): p.read_text() for p in tmp_path.glob("books/*/*")}
    assert back == there
    assert "deleted 30 files" in done(dynamo("delete", "-r", "/books")).stderr
    assert list(store.list("")) == []


def test_a_file_from_standard_input(dynamo: Dynamo, store: MemoryStore) -> None:
    done(dynamo("put", "-", "/log", stdin=b"one\ntwo\n"))
    assert contents(store, "/log") == b"one\ntwo\n"


def test_nothing_is_stored_if_one_path_is_wrong(
    dynamo: Dynamo, store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text("a")
    mistake(dynamo("put", "a", "nowhere", "/texts"), "no such file or folder: nowhere")
    assert list(store.list("")) == []


def test_two_files_of_one_name_are_refused(
    dynamo: Dynamo, store: MemoryStore, tmp_path: Path
) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a").write_text(folder)
    mistake(dynamo("put", "x/a", "y/a", "/texts"), "would both become /texts/a")
    assert list(store.list("")) == []


def test_a_fetch_that_fails_leaves_no_half_file(
    dynamo: Dynamo, store: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(bytes(3 << 20))
    done(dynamo("put", "a", "/a"))
    store.delete(files.stat(store, "/a").chunk_keys[-1])
    result = dynamo("get", "/a", "-o", "b")
    assert result.exit_code == 1
    assert "is missing" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "cluster.ini"]


def test_a_plain_value_under_a_path_is_read_with_raw(dynamo: Dynamo, store: MemoryStore) -> None:
    store.put("/plain", b"value")
    result = dynamo("get", "/plain")
    assert result.exit_code == 1
    assert "holds a plain value, not a file" in result.stderr
    assert done(dynamo("get", "--raw", "/plain")).stdout == "value"
    assert "5 B" in done(dynamo("ls", "-l")).stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("put", "colour"), "give a KEY and a VALUE"),
        (("put", "a", "b", "c"), "'c' can't name files in the store"),
        (("put", "/a", "text"), "'/a' begins with / and so names a file"),
        (("put", "nowhere", "/a"), "no such file or folder: nowhere"),
        (("put", "key", "@nowhere"), "nowhere: No such file or directory"),
        (("put", ".", "/a"), "dynamo put -r"),
        (("put", "cluster.ini", "/a/../b"), "can't name a file in the store"),
        (("get", "/nowhere"), "no file '/nowhere' in the store"),
        (("get", "/nowhere", "-r", "-o", "x"), "no file '/nowhere' in the store"),
        (("get", "/books", "-r"), "dynamo get /books -r -o books/"),
        (("delete", "/nowhere"), "no file '/nowhere'"),
        (("delete", "-r", "/nowhere"), "no file '/nowhere'"),
        (("delete", "-r", "colour"), "dynamo delete -r /out/wc"),
        (("get", "k" * 1025), "over the limit of 1,024"),
        (("ls", "--config", "none.ini"), "none.ini: no such file"),
        (("serve", "n7"), "no [node n7] in the file; it has n1"),
    ],
)
def test_a_mistake_is_one_clear_line(dynamo: Dynamo, arguments: list[str], text: str) -> None:
    mistake(dynamo(*arguments), text)


# ls, locate, config ------------------------------------------------------------------------------


def test_ls_lists_by_prefix(dynamo: Dynamo, store: MemoryStore, tmp_path: Path) -> None:
    done(dynamo("put", "user:1", "x"))
    done(dynamo("put", "cluster.ini", "/a/config"))
    assert done(dynamo("ls")).stdout == "/a/config\n"
    assert done(dynamo("ls", "user:")).stdout == "user:1\n"
    assert done(dynamo("ls", "nothing")).stdout == ""
    (entry,) = json.loads(done(dynamo("ls", "user:", "--json")).stdout)
    assert entry == {"key": "user:1", "size_bytes": 1, "modified_at": None}
    (entry,) = json.loads(done(dynamo("ls", "/", "--json")).stdout)
    assert entry["size_bytes"] == (tmp_path / "cluster.ini").stat().st_size
    assert "/a/config" in done(dynamo("ls", "-l", "/a")).stdout


def test_locate_names_nodes(dynamo: Dynamo) -> None:
    assert done(dynamo("locate", "any")).stdout == "memory\n"
    done(dynamo("put", "cluster.ini", "/c"))
    places = json.loads(done(dynamo("locate", "/c", "--json")).stdout)
    assert [place["nodes"] for place in places] == [["memory"], ["memory"]]
    assert "bytes 0 to" in done(dynamo("locate", "/c")).stdout


def test_the_config_can_come_from_the_environment(
    dynamo: Dynamo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cluster.ini").rename(tmp_path / "other.ini")
    mistake(dynamo("ls"), "cluster.ini: no such file")
    monkeypatch.setenv("DYNAMO_CONFIG", str(tmp_path / "other.ini"))
    done(dynamo("ls"))


# Help --------------------------------------------------------------------------------------------

COMMANDS = ["serve", "put", "get", "delete", "ls", "locate", "status", "stats", "ring", "explain"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_by_example(dynamo: Dynamo, command: str) -> None:
    text = done(dynamo(command, "--help")).stdout
    assert f"dynamo {command}" in text.split("Example")[1]


def test_help_lists_the_commands_in_order_of_use(dynamo: Dynamo) -> None:
    text = done(dynamo("--help")).stdout
    listed = [line.split()[0] for line in text.partition("Commands:")[2].splitlines() if line]
    assert listed == COMMANDS


@pytest.mark.parametrize("command", ["dynamo", "mapreduce"])
def test_help_does_not_load_what_it_does_not_need(command: str) -> None:
    code = (
        f"import sys, cli.{command} as c\n"
        "try: c.main(['--help'])\nexcept SystemExit: pass\n"
        "print({'gevent', 'zerorpc', 'plyvel', 'rich', 'cloudpickle'} & set(sys.modules))"
    )
    began = time.monotonic()
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.endswith("set()\n")
    assert time.monotonic() - began < 5  # about 0.2 s on a machine with nothing else to do


def test_a_command_says_at_once_that_no_node_listens(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    began = time.monotonic()
    result = CliRunner().invoke(main, ["get", "key", "--config", str(config.path)])
    assert result.exit_code == 1
    assert re.fullmatch(
        r"Error: no store node listens at .*; start them with `mapreduce up`\n", result.stderr
    )
    assert time.monotonic() - began < config.timeout_s / 2
