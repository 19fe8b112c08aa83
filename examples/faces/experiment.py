"""The experiment of "An Implementation of MapReduce based on Dynamo", section 3, and its figure 5.

    python -m examples.faces.experiment --figure docs/figures/faces.svg

Faces are recognized (recognize.py) in photos (photos.py) that are keys of a cluster of three store
nodes, by jobs of 1, 2 and 4 mappers, and by one process that reads the photos from files and knows
of no store and no MapReduce. All of it is on this machine. Rounds take turns; the times are
medians, and each job has to find what the single process finds.
"""

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from cli.local_cluster import write_config
from dynamo.errors import DynamoError
from examples.demo import running
from examples.faces import photos, recognize
from mapreduce import Cluster

MAPPERS = (1, 2, 4)
SINGLE = "single process"


def main() -> int:
    given = arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopped from outside: tidy up too
    with tempfile.TemporaryDirectory(prefix="faces-") as folder:
        try:
            seconds = measured(Path(folder), given.count, given.rounds)
        except KeyboardInterrupt:
            return failed("stopped by Ctrl-C")
        except (DynamoError, OSError) as error:
            return failed(str(error))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(table(medians))
    if given.figure:
        given.figure.write_text(figure(medians, f"{given.count} photos, {os.cpu_count()} cores"))
        print(f"\ndrawn: {given.figure}")
    return 0


def failed(reason: str) -> int:
    print(f"experiment: {reason}", file=sys.stderr)
    return 1


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Recognize faces with 1, 2 and 4 mappers.")
    parser.add_argument("--count", type=int, default=96, help="How many photos (default: 96).")
    parser.add_argument("--rounds", type=int, default=5, help="How often (default: 5).")
    parser.add_argument("--figure", type=Path, help="An SVG file to draw.")
    return parser.parse_args()


def measured(folder: Path, count: int, rounds: int) -> dict[str, list[float]]:
    """The seconds of every round, by what was run."""
    photos.write(folder, count)
    files, portrait = sorted(folder.glob("photo-*.jpg")), folder / "portrait.jpg"
    config = write_config(folder, nodes=3, workers=2, slots=2)
    with running(config), Cluster(config.path) as cluster:
        cluster.store.multi_put({file.name: file.read_bytes() for file in files})
        on_the_cluster(cluster, portrait, max(MAPPERS))  # now OpenCV is loaded in all slots
        runs = {SINGLE: partial(alone, files, portrait)}
        for mappers in MAPPERS:
            name = f"{mappers} mapper{'s' if mappers > 1 else ''}"
            runs[name] = partial(on_the_cluster, cluster, portrait, mappers)
        times = [a_round(runs, f"round {number}") for number in range(1, rounds + 1)]
    return {name: [one[name] for one in times] for name in runs}


def a_round(runs: Mapping[str, Callable[[], list[str]]], title: str) -> dict[str, float]:
    """The seconds that each took. Raises `DynamoError` if one finds other photos."""
    seconds, found = {}, {}
    for name, run in runs.items():
        began = time.perf_counter()
        found[name] = run()
        seconds[name] = time.perf_counter() - began
        if found[name] != found[SINGLE]:
            raise DynamoError(f"{name} found {found[name]}, and {SINGLE} {found[SINGLE]}")
    print(f"{title}:", ", ".join(f"{name} {took:.2f} s" for name, took in seconds.items()))
    return seconds


def alone(files: Sequence[Path], portrait: Path) -> list[str]:
    """The names of the photos that show the portrait's face, found by one process."""
    finder = recognize.FaceFinder()
    target = recognize.the_face(portrait.read_bytes(), portrait.name)
    return [
        file.name
        for file in files
        if any(
            recognize.similarity(target, face) > recognize.THRESHOLD
            for face in finder.faces(recognize.decoded(file.read_bytes()))
        )
    ]


def on_the_cluster(cluster: Cluster, portrait: Path, mappers: int) -> list[str]:
    """The same by a job with so many mappers, over the photos that are keys of the store."""
    result = cluster.run(recognize.job(str(portrait), mappers=mappers), "keys:photo-")
    return [name for name, _ in result]


# What is shown -----------------------------------------------------------------------------------


def table(medians: Mapping[str, float]) -> str:
    lines = [f"{'':16}{'seconds':>10}{'÷ single':>10}"]
    for name, seconds in medians.items():
        lines.append(f"{name:16}{seconds:>10.2f}{seconds / medians[SINGLE]:>10.2f}")
    return "\n".join(lines)


WIDTH, HEIGHT, BASE, BAR, GAP = 560, 320, 270, 70, 50
"""Of the figure: its size, where bars stand, how wide they are and how far apart."""


def figure(medians: Mapping[str, float], title: str) -> str:
    """The times as bars, with what each is of the single process's."""
    scale = (BASE - 60) / max(medians.values())
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="14" text-anchor="middle">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{WIDTH // 2}" y="24">Face recognition: {title}</text>',
        f'<path d="M30 {BASE}H{WIDTH - 30}" stroke="black"/>',
    ]
    for number, (name, seconds) in enumerate(medians.items()):
        left = 60 + number * (BAR + GAP)
        top, middle = BASE - seconds * scale, left + BAR // 2
        colour = "#999999" if name == SINGLE else "#4477aa"
        drawn += [
            f'<rect x="{left}" y="{top:.1f}" width="{BAR}" height="{BASE - top:.1f}" '
            f'fill="{colour}"/>',
            f'<text x="{middle}" y="{top - 22:.1f}">{seconds:.2f} s</text>',
            f'<text x="{middle}" y="{top - 6:.1f}" font-size="12">'
            f"{seconds / medians[SINGLE]:.2f} of single</text>",
            f'<text x="{middle}" y="{BASE + 20}">{name}</text>',
        ]
    return "\n".join([*drawn, "</svg>", ""])


if __name__ == "__main__":
    sys.exit(main())
