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
from tests.waiting import wait_until

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


@pytest.fixture
def cart(store: MemoryStore) -> MemoryStore:
    """A store in which the key cart has two siblings, eggs being the newer."""
    store.put("cart", b"milk", context={})
    store.put("cart", b"eggs", context={})
    return store


def test_siblings_are_resolved_by_the_last_write(dynamo: Dynamo, cart: MemoryStore) -> None:
    result = done(dynamo("get", "cart", "--resolve", "last-write"))
    assert (result.stdout, result.stderr) == ("eggs", "")
    assert len(cart.get("cart").values) == 2


def test_siblings_are_resolved_by_a_function_of_the_user(
    dynamo: Dynamo, cart: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "carts.py").write_text("def union(values): return b'+'.join(sorted(values))")
    result = done(dynamo("get", "cart", "--resolve", "carts.py:union"))
    assert (result.stdout, result.stderr) == ("eggs+milk", "")
    done(dynamo("put", "colour", "green"))
    assert done(dynamo("get", "colour", "--resolve", "carts.py:union")).stdout == "green"


@pytest.mark.parametrize(
    ("resolver", "text"),
    [
        ("newest", "'newest' is neither last-write nor FILE.py:FUNCTION"),
        ("carts.py:", "neither last-write nor"),
        ("none.py:union", "no such file: none.py"),
        ("carts.py:merge", "carts.py has no function merge"),
        ("broken.py:union", "broken.py can't be run: SyntaxError"),
        ("carts.py:fails", "carts.py:fails failed: ValueError: no carts today"),
        ("carts.py:counts", "carts.py:counts returned int; a value is bytes"),
    ],
)
def test_a_resolver_that_can_t_work(
    resolver: str, text: str, dynamo: Dynamo, cart: MemoryStore, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text("def union(")
    (tmp_path / "carts.py").write_text(
        "counts = len\ndef fails(values): raise ValueError('no carts today')"
    )
    mistake(dynamo("get", "cart", "--resolve", resolver), text)


def test_a_resolver_is_for_one_value_of_a_plain_key(dynamo: Dynamo, cart: MemoryStore) -> None:
    mistake(dynamo("get", "cart", "--all", "--resolve", "last-write"), "--all or --resolve")
    mistake(dynamo("get", "/cart", "--resolve", "last-write"), "--resolve: for plain keys only")


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


# The options of one request ----------------------------------------------------------------------


def test_a_value_with_a_time_to_live_goes(dynamo: Dynamo, store: MemoryStore) -> None:
    done(dynamo("put", "session", "ann", "--ttl", "100ms", "--ephemeral"))
    done(dynamo("put", "stays", "bob", "--ttl", "1h"))
    wait_until(lambda: list(store.list("")) == ["stays"], 10, "the end of the session")


def test_if_absent_puts_once(dynamo: Dynamo) -> None:
    done(dynamo("put", "leader", "n1", "--if-absent"))
    mistake(dynamo("put", "leader", "n2", "--if-absent"), "'leader' was not put")
    assert done(dynamo("get", "leader")).stdout == "n1"


def test_numbers_of_replicas_and_a_timeout_can_be_asked_for(
    dynamo: Dynamo, store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, object]] = []
    for name in ("put", "get", "delete", "list", "locate"):
        call = getattr(store, name)

        def noting(*arguments, call=call, **options):  # type: ignore[no-untyped-def]
            asked.append({key: value for key, value in options.items() if key != "after"})
            return call(*arguments, **options)

        monkeypatch.setattr(store, name, noting)
    done(dynamo("put", "key", "1", "--n", "2", "--w", "1", "--timeout", "2s"))
    done(dynamo("get", "key", "--n", "2", "--r", "1", "--timeout", "500ms"))
    done(dynamo("delete", "key", "--n", "2", "--w", "2"))
    done(dynamo("ls", "key", "--r", "3"))
    done(dynamo("locate", "key", "--n", "1"))
    assert asked == [
        {"n": 2, "w": 1, "timeout_s": 2.0},
        {"n": 2, "r": 1, "timeout_s": 0.5},
        {"n": 2, "w": 2},
        {"r": 3},
        {"n": 1},
    ]


def test_a_list_can_be_taken_page_by_page(dynamo: Dynamo, store: MemoryStore) -> None:
    store.multi_put({f"user:{name}": b"" for name in "abcde"})
    page = done(dynamo("ls", "user:", "--limit", "2"))
    assert page.stdout == "user:a\nuser:b\n"
    assert "dynamo ls user: --after user:b --limit 2" in page.stderr
    last = done(dynamo("ls", "user:", "--limit", "3", "--after", "user:b"))
    assert (last.stdout, last.stderr) == ("user:c\nuser:d\nuser:e\n", "")
    page_of_json = json.loads(done(dynamo("ls", "user:", "--limit", "4", "--json")).stdout)
    assert [entry["key"] for entry in page_of_json["entries"]][-1] == page_of_json["after"]
    end = json.loads(done(dynamo("ls", "user:", "--limit", "5", "--json")).stdout)
    assert (len(end["entries"]), end["after"]) == (5, None)


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
        (("put", "key", "1", "--ttl", "soon"), "'soon' is no duration; write 500ms"),
        (("put", "key", "1", "--ephemeral"), "needs ttl_s"),
        (("put", "cluster.ini", "/a", "--ttl", "1h"), "--ttl: for plain keys only"),
        (("put", "key", "1", "--w", "0"), "--w"),
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

COMMANDS = [
    "serve",
    "put",
    "get",
    "delete",
    "ls",
    "locate",
    "status",
    "stats",
    "ring",
    "explain",
    "give-up",
    *("join", "leave", "replace", "remove", "plan", "commit", "transfers"),
]


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
