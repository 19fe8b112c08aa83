"""Every command that the examples teach works as it stands, on inputs of the shape they tell of."""

import gzip
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.mapreduce import main
from tests.examples.running import EXAMPLES

FILES = {
    "book.txt": "to be or not to be\nthat is the question\n",
    "books/one.txt": "the white whale\nthe white whale swims\nthe white sea",
    "books/two.txt": "the sea\n\nthe white whale\n",
    "counts/part-00000": "be\t2\nto\t2\n",
    "counts/part-00001": "or\t1\n",
    "logs/a.log": '10.0.0.1 - - [10/Oct/2000:13:55:36 -0700] "GET /7 HTTP/1.0" 200 2326\n',
    "logs/b.log": '10.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "GET / HTTP/1.0" 500 -\nan error\n',
    "readings/1.csv": "city,celsius\nOslo,3.5\nRome,17\nOslo,4.5\n",
    "users.csv": "id,name,city\n17,Ann,Oslo\n18,Bo,Rome\n",
    "orders.jsonl": '{"user": 17, "item": "lamp", "price": 19.5}\n',
    "a.tsv": "0\t0\t2\n0\t1\t1.5\n",
    "b.tsv": "0\t3\t4\n1\t3\t2\n",
    "links.tsv": "a\tb\tc\nb\tc\n",
    "points.csv": "0,0\n0,1\n9,9\n",
    "start.csv": "0,0\n9,9\n",
    "edges.tsv": "a\tb\nb\tc\nc\ta\nc\td\n",
}
COMMANDS = [
    (path.name, " ".join(command.replace("\\\n", " ").split()))
    for path in sorted([*EXAMPLES.glob("*.py"), EXAMPLES / "README.md"])
    for command in re.findall(r"mapreduce run (examples/[^`\n]+)", path.read_text())
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples and all that they read; the commands are run in it."""
    (tmp_path / "examples").symlink_to(EXAMPLES)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with gzip.open(tmp_path / "logs" / "c.gz", "wt") as packed:
        packed.write(FILES["logs/a.log"])
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("source", "command"), COMMANDS)
def test_a_command_works(here: Path, source: str, command: str) -> None:
    arguments = shlex.split(command)
    output = here / arguments[arguments.index("-o") + 1]
    if output.exists():  # made by the example before it
        arguments[arguments.index("-o") + 1] = output = here / "new"
    result = CliRunner().invoke(main, ["run", *map(str, arguments), "--runner", "inline"])
    assert result.exit_code == 0, result.output
    assert any(part.stat().st_size for part in output.glob("part-*"))


def test_every_example_is_in_the_table_and_has_a_command() -> None:
    examples = {path.name for path in EXAMPLES.glob("*.py")} - {"__init__.py", "demo.py"}
    assert len(examples) == 16
    taught = {(source, Path(command.split()[0]).name) for source, command in COMMANDS}
    assert taught >= {("README.md", name) for name in examples}
    assert taught >= {(name, name) for name in examples}
    table = (EXAMPLES / "README.md").read_text()
    assert all(f"]({name})" in table for name in examples)
