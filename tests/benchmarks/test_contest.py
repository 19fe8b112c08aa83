"""A benchmark stands on equal outputs: what differs stops it, what is not installed is named."""

import sys
from subprocess import PIPE, Popen

import pytest

from benchmarks import contest
from benchmarks.contest import Aim, Contestant, any_order, hold, in_order, pipeline, ratio
from benchmarks.measured import Measure, family, measure, peak_bytes

SORT = Contestant("sort", pipeline('sort "$2" > "$1/part-0"'))
REVERSED = Contestant("reversed", pipeline('sort -r "$2" > "$1/part-0"'))
TWICE = Contestant("twice", pipeline('cat "$2" "$2" > "$1/part-0"'))


@pytest.fixture(autouse=True)
def one_round(monkeypatch):
    monkeypatch.setattr(contest, "ROUNDS", 1)


@pytest.fixture
def letters(tmp_path):
    path = tmp_path / "letters"
    path.write_text("b\na\nc\n")
    return path


def test_the_table_has_a_row_for_each_program_and_a_line_for_each_aim(letters, capsys):
    hold([SORT, REVERSED], [letters], [Aim("reversed", "sort", 1.5)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:4]] == ["sort", "reversed"]
    assert lines[-1].endswith("times sort (aim: at most 1.5)")


def test_a_program_that_is_not_installed_is_left_out_and_named(letters, capsys):
    absent = Contestant("absent", ("nothing",), ("no_such_program",))
    hold([SORT, absent], [letters], [Aim("absent", "sort", 1.0)])
    printed = capsys.readouterr().out
    assert "| absent | not installed: no_such_program" in printed
    assert "aim" not in printed


def test_different_lines_stop_the_benchmark(letters):
    with pytest.raises(SystemExit, match="twice wrote 6 lines, sort 3"):
        hold([SORT, TWICE], [letters])


def test_lines_out_of_order_stop_a_benchmark_of_order(letters):
    with pytest.raises(SystemExit, match="part-0 is not in order"):
        hold([SORT, REVERSED], [letters], check=in_order)


def test_order_holds_from_one_part_to_the_next(tmp_path):
    (tmp_path / "part-0").write_text("a\nb\n")
    (tmp_path / "part-1").write_text("b\nc\n")
    assert in_order(tmp_path) == any_order(tmp_path)
    (tmp_path / "part-2").write_text("a\n")
    with pytest.raises(SystemExit, match="part-2 is not in order"):
        in_order(tmp_path)


def test_a_program_that_fails_stops_the_benchmark_with_what_it_complained_of():
    with pytest.raises(SystemExit, match="no such thing"):
        measure(["sh", "-c", "echo no such thing >&2; exit 3"])


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read of /proc")
def test_memory_is_that_of_the_largest_process_below_the_program():
    child = 'text = b"x" * (40 << 20); del text; print("had it", flush=True); input()'
    command = ["sh", "-c", f"{sys.executable} -S -c '{child}'; true"]
    with Popen(command, stdin=PIPE, stdout=PIPE) as process:
        process.stdout.readline()
        peaks = sorted(map(peak_bytes, family(process.pid)))
        process.communicate(b"\n")
    assert len(peaks) == 2
    assert peaks[0] < 20 << 20
    assert 40 << 20 <= peaks[1] < 80 << 20


def test_a_ratio_is_the_median_of_those_within_the_rounds_that_both_had():
    def rounds(*seconds):
        return [Measure(each, 0, "") for each in seconds]

    assert ratio(rounds(2, 30, 8), rounds(1, 10, 2)) == 3
    assert ratio(rounds(20), rounds(4, 1, 1)) == 5
