"""One person's face is found in photos: in each that shows her, and in no other."""

import math
import re
import shlex
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.mapreduce import main
from tests.examples.running import EXAMPLES, commands_of, on_a_cluster

pytest.importorskip("cv2", reason="needs OpenCV: pip install 'dynamo-mapreduce[faces]'")

from examples.faces import experiment, photos, recognize

ROOT = EXAMPLES.parent
PAGE = (ROOT / "docs" / "mapreduce-on-dynamo.md").read_text("utf-8")
COMMANDS = commands_of(PAGE)
COUNT = 6
"""One photo of each kind."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some photos, in the folder `photos` beside the examples."""
    here = tmp_path_factory.mktemp("faces")
    (here / "examples").symlink_to(EXAMPLES)
    photos.write(here / "photos", COUNT)
    return here / "photos"


def test_the_command_lists_the_photos_and_keeps_the_faces(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    [command] = [line for line in COMMANDS if line.startswith("mapreduce run ")]
    ran = CliRunner().invoke(main, [*shlex.split(command)[1:], "--runner", "inline"])
    assert ran.exit_code == 0, ran.output

    rates = dict(line.split("\t") for line in Path("out/part-00000").read_text().splitlines())
    answer = (folder / "answer.txt").read_text().split()
    assert [Path(name).name for name in rates] == answer
    assert all(recognize.THRESHOLD < float(rate) <= 1 for rate in rates.values())
    assert int(re.search(r"faces +(\d+)", ran.output)[1]) > len(answer)  # the others' were compared

    target = recognize.the_face((folder / "portrait.jpg").read_bytes(), "portrait.jpg")
    with tarfile.open("out/pictures-r-00000") as pictures:
        assert [re.sub(r"-face-\d+\.png", ".jpg", name) for name in pictures.getnames()] == answer
        for member in pictures:
            face = recognize.decoded(pictures.extractfile(member).read())
            assert recognize.similarity(target, face) > recognize.THRESHOLD


def test_the_answer_is_the_same_however_it_is_parted_and_as_one_process_finds_it(
    folder: Path,
) -> None:
    files = sorted(folder.glob("photo-*.jpg"))
    expected = experiment.alone(files, folder / "portrait.jpg")
    job = recognize.job(str(folder / "portrait.jpg"), reducers=3)
    job.split_bytes = 1
    result = job.run(*files, runner="inline")
    assert sorted(Path(name).name for name, _ in result) == expected
    assert expected == (folder / "answer.txt").read_text().split()


def test_a_file_that_is_no_photo_is_counted_and_left_out(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear Eileen")
    job = recognize.job(str(folder / "portrait.jpg"))
    result = job.run(tmp_path, runner="inline")
    assert list(result) == []
    assert result.counters["inputs that are no photos"] == 1


def test_a_portrait_of_no_face_is_an_error(folder: Path) -> None:
    rocket = folder / "photo-003.jpg"
    with pytest.raises(ValueError, match=r"photo-003\.jpg shows 0 faces"):
        recognize.job(str(rocket)).run(folder / "photo-000.jpg", runner="inline")


def test_the_same_seed_gives_the_same_photos() -> None:
    one, same = (next(photos.photos(1, seed)).image for seed in (1, 1))
    assert (one == same).all()
    assert (one != next(photos.photos(1, 2)).image).any()


def test_the_figure_shows_each_run_by_its_time() -> None:
    seconds = {experiment.SINGLE: 8.0, "1 mapper": 10.0, "2 mappers": 5.0}
    drawn = experiment.figure(seconds, "6 photos")
    heights = [float(found) for found in re.findall(r'<rect x.* height="([\d.]+)"', drawn)]
    assert len(heights) == 3
    assert all(
        math.isclose(height / heights[0], one / 8, abs_tol=0.01)
        for height, one in zip(heights, seconds.values())
    )
    assert "1.25 of single" in drawn


@pytest.mark.systems
def test_the_page_can_be_repeated_on_a_cluster(tmp_path: Path) -> None:
    """Line by line in a shell, in a folder with a cluster.ini."""
    printed = on_a_cluster([line for line in COMMANDS if "experiment" not in line], tmp_path)
    answer = (tmp_path / "photos" / "answer.txt").read_text().split()
    listed = [name for name in printed if name.startswith("photo-")]
    assert [line.split("\t")[0] for line in listed] == answer


@pytest.mark.systems
def test_the_experiment_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seconds = experiment.measured(tmp_path, count=12, rounds=1)
    assert list(seconds) == [experiment.SINGLE, "1 mapper", "2 mappers", "4 mappers"]
