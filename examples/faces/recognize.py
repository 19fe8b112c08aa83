"""Finds the photos that show a person, and cuts that person's faces out of them.

    mapreduce run examples/faces/recognize.py 'photos/photo-*.jpg' -o out/ \
        --set portrait=photos/portrait.jpg

Input: photos, each in a file or a key of its own. The portrait, which goes with the job as a side
file, shows one face. Output: lines `photo TAB similarity`, in order of the photos' names; and the
named output `pictures`, a tar archive of the faces that were recognized, as PNG files.

The mapper finds the faces of a photo, by the cascade of Haar features that OpenCV carries (Viola &
Jones, "Rapid Object Detection using a Boosted Cascade of Simple Features", 2001), and gives them to
the reducer as pictures. That one is a `PartitionReducer`: it compares all faces that a map task
has found with the portrait, then those of the next, and its `output` is the list of photos. (Zhang
& Mao, "An Implementation of MapReduce based on Dynamo", section 3; docs/mapreduce-on-dynamo.md.)

Needs OpenCV where the tasks run: pip install 'dynamo-mapreduce[faces]'.
"""

import tarfile
from pathlib import Path

import cv2
import numpy as np

from mapreduce import Job, Mapper, PartitionReducer

CASCADE = cv2.data.haarcascades + "haarcascade_frontalface_default.xml"
LEAST_PIXELS = 40
"""Faces that are smaller are not looked for,"""
NEIGHBOURS = 6
"""and what was found fewer times, at places beside each other, is taken to be no face."""
SIDE, MARGIN = 64, 8
"""Faces are compared at this size; how far one may lie beside the other."""
THRESHOLD = 0.55
"""Faces that are more similar are taken to be of the same person."""


class FaceFinder:
    def __init__(self):
        cv2.setNumThreads(1)  # a task has one core, others run beside it
        self.cascade = cv2.CascadeClassifier(CASCADE)

    def faces(self, image):
        """The faces in an image, cut out, from left to right."""
        found = self.cascade.detectMultiScale(
            cv2.cvtColor(image, cv2.COLOR_BGR2GRAY),
            minNeighbors=NEIGHBOURS,
            minSize=(LEAST_PIXELS, LEAST_PIXELS),
        )
        places = sorted(tuple(map(int, place)) for place in found)
        return [
            image[top : top + height, left : left + width] for left, top, width, height in places
        ]


def decoded(data):
    """The image in a JPEG, PNG or other file; None if there is none."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


def comparable(face):
    """A face without size, colour and light."""
    grey = cv2.cvtColor(face, cv2.COLOR_BGR2GRAY)
    return cv2.equalizeHist(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def similarity(portrait, face):
    """From -1 to 1: the correlation of the portrait's middle with the face where it fits best, seen
    from either side."""
    middle = comparable(portrait)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    both = (middle, cv2.flip(middle, 1))
    where = comparable(face)
    return max(float(cv2.matchTemplate(where, one, cv2.TM_CCOEFF_NORMED).max()) for one in both)


class Faces(Mapper):
    def setup(self):
        self.finder = FaceFinder()

    def map(self, name, data):
        photo = decoded(data)
        if photo is None:
            self.context.count("inputs that are no photos")
            return
        for number, face in enumerate(self.finder.faces(photo), start=1):
            self.context.count("faces")
            yield (name, number), png(face)


class Recognized(PartitionReducer):
    def setup(self):
        file = self.context.file(Path(self.context.params["portrait"]).name)
        self.portrait = the_face(file.read_bytes(), file.name)
        self.threshold = float(self.context.params["threshold"])
        self.photos = {}

    def reduce(self, piece):
        for (name, number), picture in piece:
            rate = similarity(self.portrait, decoded(picture))
            if rate > self.threshold:
                self.photos[name] = max(rate, self.photos.get(name, rate))
                member = archived(f"{Path(name).stem}-face-{number}.png", picture)
                self.context.emit(name, member, to="pictures")

    def output(self):
        self.context.emit("", bytes(2 * tarfile.BLOCKSIZE), to="pictures")  # the archive's end
        return [(name, f"{rate:.2f}") for name, rate in sorted(self.photos.items())]


def the_face(data, name):
    """The only face of a portrait."""
    image = decoded(data)
    faces = [] if image is None else FaceFinder().faces(image)
    if len(faces) != 1:
        raise ValueError(f"{name} shows {len(faces)} faces: a portrait has to show one")
    return faces[0]


def archived(name, data):
    """A file as a member of a tar archive."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    return member.tobuf() + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def job(portrait: str, threshold: float = THRESHOLD, mappers: int = 0, reducers: int = 1) -> Job:
    """`threshold` is the least similarity, `mappers` how many tasks may run at once; 0: any."""
    return Job(
        "faces",
        mapper=Faces,
        reducer=Recognized,
        reducers=reducers,
        files=[portrait],
        params={"portrait": portrait, "threshold": threshold},
        input_format="whole:bytes=yes",
        outputs={"pictures": "raw"},
        split_bytes=1 << 20,  # a few photos take as long as a large text
        max_running=mappers,
    )
