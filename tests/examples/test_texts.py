"""Examples over lines of text, beside the same in plain Python."""

import itertools
import random
import re
import string
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from tests.examples.running import run

BOOKS = 3


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with texts whose words are as unequal as those of a language."""
    folder = tmp_path_factory.mktemp("books")
    chance = random.Random(7)
    words = ["".join(chance.choices(string.ascii_letters, k=1 + n % 7)) for n in range(120)]
    words += ["Straße", "ß", "naïve", "don't", "42"]
    weights = [1 / (rank + 1) for rank in range(len(words))]
    for book in range(BOOKS):
        lines = [
            chance.choice([" ", ", "]).join(chance.choices(words, weights, k=chance.randrange(9)))
            for _ in range(120)
        ]
        (folder / f"{book}.txt").write_text("\n".join(lines) + "\n" * (book > 0))
    return folder


def paths_of(books: Path) -> list[Path]:
    return sorted(books.iterdir())


def lines_of(books: Path) -> list[str]:
    return [line for path in paths_of(books) for line in path.read_text().splitlines()]


def words_of(line: str) -> list[str]:
    return re.findall(r"\w+", line.lower())


# The examples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_word_count(books: Path, tmp_path: Path, runner: str) -> None:
    ran = run("wordcount", books, output=tmp_path / "out", runner=runner, reducers=3)
    counts = Counter(word for line in lines_of(books) for word in line.split())
    assert ran.pairs == {word: str(count) for word, count in counts.items()}
    assert len(ran.parts) == 3
    assert all(ran.parts)


def test_grep(books: Path, tmp_path: Path) -> None:
    pattern = r"\b[a-m]\w*, "
    ran = run("grep", books, output=tmp_path / "out", params={"pattern": pattern})
    expected = []
    for path in paths_of(books):
        position = 0
        for line in path.read_bytes().splitlines(keepends=True):
            text = line.decode().rstrip("\n")
            if re.search(pattern, text):
                expected.append(f"{path}:{position}\t{text}")
            position += len(line)
    assert ran.lines == expected
    assert 20 < len(expected) < len(lines_of(books))


def test_grep_in_what_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"fine\nnot \xff fine\nelse\n")
    ran = run("grep", tmp_path / "log", output=tmp_path / "out", params={"pattern": "fine$"})
    path = tmp_path / "log"
    assert ran.lines == [f"{path}:0\tfine", f"{path}:5\tnot \ufffd fine"]


@pytest.mark.parametrize(
    ("runner", "descending"), [("inline", "no"), ("inline", "yes"), ("local", "no")]
)
def test_sort(books: Path, tmp_path: Path, runner: str, descending: str) -> None:
    params = {"reducers": "3", "descending": descending}
    ran = run("sort", books, output=tmp_path / "out", runner=runner, params=params)
    assert ran.lines == sorted(lines_of(books), reverse=descending == "yes")
    assert len(ran.parts) == 3
    assert all(ran.parts)  # each reducer has got a range
    assert len(set(ran.lines)) < len(ran.lines)


def test_inverted_index(books: Path, tmp_path: Path) -> None:
    disordered = reversed(paths_of(books))
    ran = run("inverted_index", *disordered, output=tmp_path / "out", params={"reducers": "3"})
    expected: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for path in paths_of(books):
        position = 0
        for line in path.read_bytes().splitlines(keepends=True):
            for word in sorted(set(words_of(line.decode()))):
                expected[word][str(path)].append(position)
            position += len(line)
    found = {word: dict(places) for word, places in ran.values}
    assert found == expected
    assert len(ran.values) == len(expected)
    assert all(places == sorted(places) for _, places in ran.values)


@pytest.mark.parametrize(("n", "least"), [(1, 1), (2, 3), (3, 2)])
def test_ngrams(books: Path, tmp_path: Path, n: int, least: int) -> None:
    params = {"n": str(n), "least": str(least)}
    ran = run("ngrams", books, output=tmp_path / "out", reducers=2, params=params)
    counts = Counter(
        " ".join(gram)
        for line in lines_of(books)
        for gram in zip(*(words_of(line)[skipped:] for skipped in range(n)))
    )
    expected = {gram: str(count) for gram, count in counts.items() if count >= least}
    assert ran.pairs == expected
    assert ran.counters.get("n-grams left out", 0) == len(counts) - len(expected)


@pytest.mark.parametrize("runner", ["inline", "local"])
def test_next_word(books: Path, tmp_path: Path, runner: str) -> None:
    params = {"top": "2", "reducers": "2"}
    ran = run("next_word", books, output=tmp_path / "out", runner=runner, params=params)
    follows: dict[str, Counter[str]] = defaultdict(Counter)
    for line in lines_of(books):
        for word, follower in itertools.pairwise(words_of(line)):
            follows[word][follower] += 1
    expected = {
        word: [
            [word, follower, str(count), str(count / counts.total())]
            for follower, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:2]
        ]
        for word, counts in follows.items()
    }
    rows = ran.rows("word,next,count,probability")
    found = {word: list(its) for word, its in itertools.groupby(rows, key=lambda row: row[0])}
    assert found == expected
    assert len(rows) == sum(map(len, expected.values()))


@pytest.mark.parametrize("k", [1, 10, 10_000])
def test_top_k(books: Path, tmp_path: Path, k: int) -> None:
    counts = Counter(word for line in lines_of(books) for word in line.split())
    ran = run("wordcount", books, output=tmp_path / "counts", reducers=4)
    ran = run(
        "top_k",
        tmp_path / "counts",
        output=tmp_path / "out",
        params={"k": str(k)},
        split_bytes=100,
    )
    best = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:k]
    assert ran.lines == [f"{word}\t{count}" for word, count in best]


def test_top_k_of_equal_pairs(tmp_path: Path) -> None:
    (tmp_path / "pairs").write_text("b\t7\na\t7\nb\t7\nc\t-1\nb\t7\n")
    ran = run(
        "top_k", tmp_path / "pairs", output=tmp_path / "out", params={"k": "3"}, split_bytes=5
    )
    assert ran.lines == ["a\t7", "b\t7", "b\t7"]
