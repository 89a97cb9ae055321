from itertools import cycle, repeat
from types import SimpleNamespace

import numpy as np

from benchmarks.bench_usual_level import Session
from clickgrain.annotate.usual_level import LEAST
from clickgrain.types import Mask


class AtOneLevel:
    """Right at level 0.45 and after a second click, else everything."""

    def __init__(self):
        self.asked = []

    def encode(self, image):
        return SimpleNamespace(image=image)

    def predict(self, points, labels, box=None, scribbles=None, level=None, previous=None, *, encoded):
        self.asked.append((len(points), level))
        mask = np.ones((10, 10), np.float32)
        if level == 0.45 or len(points) > 1:
            mask[3:] = 0
        return Mask(mask)


def test_first_clicks_ask_for_the_level_of_finished_objects_and_later_ones_for_none():
    segmenter = AtOneLevel()
    session, asked = Session(segmenter, repeat(None)), []
    for _ in range(LEAST + 3):
        session.set_image(np.zeros((10, 10, 3), np.uint8))
        count = len(segmenter.asked)
        first = session.predict([[1, 1]], [1])
        asked.append(segmenter.asked[count])
        session.predict([[1, 1], [2, 2]], [1, 1], previous=first)
        assert segmenter.asked[-1] == (2, None)
    assert asked == [(1, None)] * (LEAST + 1) + [(1, 0.45)] * 2


def test_each_label_has_its_level():
    segmenter = AtOneLevel()
    session = Session(segmenter, cycle([0, 1]))
    for _ in range(2 * LEAST + 3):
        session.set_image(np.zeros((10, 10, 3), np.uint8))
        first = session.predict([[1, 1]], [1])
        if session.label == 0:  # of label 1 everything is meant
            session.predict([[1, 1], [2, 2]], [1, 1], previous=first)
    assert (session.usual.of(0), session.usual.of(1), session.usual.of(None)) == (0.45, None, None)
