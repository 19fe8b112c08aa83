"""Makes photos to look for faces in, and a portrait to compare them with.

    python -m examples.faces.photos photos/ --count 24

Into the folder go `portrait.jpg`, the photos `photo-000.jpg`, `photo-001.jpg` and so on, and
`answer.txt` with the names of the photos that show the person of the portrait. There is one such
person: NASA's portrait of the astronaut Eileen Collins, which is in the public domain (as it comes
with scikit-image, `skimage.data.astronaut`; here it is `astronaut.jpg`). A photo shows her on a
drawn background, larger or smaller, turned a little, from the other side, in another light; or
somebody drawn; or both; or only things that are no faces. The same count and seed give the same
photos.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

ASTRONAUT = Path(__file__).with_name("astronaut.jpg")
HEAD = np.s_[20:270, 100:350]
"""Where her head and shoulders are in it,"""
ROCKET = np.s_[0:250, 350:475]
"""and where there is something else."""
WIDTH, HEIGHT = 900, 600
PLACES = 3
"""So many things may stand in a photo beside each other."""

SHE, DRAWN, THING = "she", "drawn", "thing"
SHOWN = ([SHE], [DRAWN, THING], [SHE, DRAWN], [THING], [DRAWN, DRAWN], [THING, SHE, DRAWN])
"""What the photos show, in turn."""


class Photo(NamedTuple):
    name: str
    image: np.ndarray
    shows_her: bool


def photos(count: int, seed: int = 1) -> Iterator[Photo]:
    """So many photos."""
    astronaut = cv2.imread(str(ASTRONAUT))
    for number in range(count):
        random = np.random.default_rng((seed, number))
        shown = SHOWN[number % len(SHOWN)]
        image = background(random)
        places = random.permutation(PLACES)
        for what, place in zip(shown, places):
            paste(image, pictured(what, astronaut, random), place, random)
        image = clipped(image + random.normal(0, 3, image.shape))
        yield Photo(f"photo-{number:03}.jpg", image, SHE in shown)


def portrait() -> np.ndarray:
    return cv2.imread(str(ASTRONAUT))[HEAD]


def pictured(what: str, astronaut: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A picture of her, of somebody, or of something, in the light of the day."""
    if what == SHE:
        picture = turned(astronaut[HEAD], random)
    elif what == DRAWN:
        picture = drawn_face(random)
    else:
        picture = astronaut[ROCKET]
    if random.random() < 0.5:
        picture = picture[:, ::-1]
    light = random.uniform(0.6, 1.2) * random.uniform(0.85, 1.15, 3)
    return clipped(picture * light)


def turned(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), random.uniform(-6, 6), 1)
    return cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)


def paste(image: np.ndarray, picture: np.ndarray, place: int, random: np.random.Generator) -> None:
    """Put a picture into one of the places of an image, which it fits, at some size."""
    column = WIDTH // PLACES
    largest = min(column / picture.shape[1], HEIGHT / picture.shape[0])
    scale = largest * random.uniform(0.5, 0.95)
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = picture.shape[:2]
    left = place * column + random.integers(column - width + 1)
    top = random.integers(HEIGHT - height + 1)
    image[top : top + height, left : left + width] = picture


def background(random: np.random.Generator) -> np.ndarray:
    """A gradient with some shapes."""
    one, other = random.uniform(40, 220, (2, 3))
    slope = np.linspace(0, 1, WIDTH)[None, :, None]
    image = np.repeat(one + slope * (other - one), HEIGHT, axis=0)
    for _ in range(12):
        middle = tuple(int(at) for at in random.integers((WIDTH, HEIGHT)))
        size = tuple(int(at) for at in random.integers(10, 90, 2))
        colour = tuple(random.uniform(20, 235, 3))
        cv2.ellipse(image, middle, size, random.uniform(0, 180), 0, 360, colour, -1)
    return image


def drawn_face(random: np.random.Generator) -> np.ndarray:
    """Somebody else: hair, face, eyes with brows, nose and mouth, a little different each time."""
    side, middle = 400, 200
    image = np.full((side, side, 3), random.uniform(60, 200, 3))
    skin = np.array([120, 160, 210]) * random.uniform(0.7, 1.1)
    eyes, apart, mouth = random.integers((175, 48, 35), (190, 62, 55))

    def oval(at: tuple[int, int], size: tuple[int, int], shade: float) -> None:
        colour = tuple(skin * shade)
        cv2.ellipse(image, tuple(map(int, at)), tuple(map(int, size)), 0, 0, 360, colour, -1)

    oval((middle, middle), (150, 190), 0.35)
    oval((middle, middle + 25), (125, 165), 1)
    for eye in (middle - apart, middle + apart):
        oval((eye, eyes), (34, 20), 0.6)
        oval((eye, eyes), (24, 11), 1.3)
        oval((eye, eyes), (11, 11), 0.15)
        oval((eye, eyes - 30), (38, 7), 0.3)
    oval((middle, eyes + 30), (12, 50), 1.12)
    oval((middle, eyes + 80), (24, 7), 0.55)
    oval((middle, eyes + 115), (mouth, 14), 0.45)
    return cv2.GaussianBlur(image, (0, 0), 6)


def clipped(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 255).astype(np.uint8)


def write(folder: Path, count: int, seed: int = 1) -> list[str]:
    """Write portrait, photos and answer; the answer."""
    folder.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "portrait.jpg"), portrait())
    answer = []
    for photo in photos(count, seed):
        cv2.imwrite(str(folder / photo.name), photo.image)
        answer += [photo.name] if photo.shows_her else []
    (folder / "answer.txt").write_text("".join(f"{name}\n" for name in answer))
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description="Make photos to look for faces in.")
    parser.add_argument("folder", type=Path, help="Where to write them.")
    parser.add_argument("--count", type=int, default=24, help="How many photos (default: 24).")
    parser.add_argument("--seed", type=int, default=1, help="Other photos (default: 1).")
    given = parser.parse_args()
    answer = write(given.folder, given.count, given.seed)
    print(f"{given.count} photos in {given.folder}; {len(answer)} of them show the astronaut")


if __name__ == "__main__":
    main()
