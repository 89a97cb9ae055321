from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from clickgrain import files
from clickgrain.errors import FeatureError
from clickgrain.features import position_directions, project_out
from clickgrain.features.position import measure_directions
from clickgrain.types import Float, UInt8

DIM = 24


class Ramp:
    """Content (mean colour of 8 x 8 pixels, through a random matrix) plus a ramp of the position."""

    patch_size, dim = 8, DIM

    def __init__(self, strength: float = 10.0, name: str = "ramp") -> None:
        rng = np.random.default_rng(1)
        self.name = name
        self.content = rng.normal(size=(3, DIM))
        self.ramp = strength * rng.normal(size=(2, DIM))
        self.calls = 0

    def __call__(self, image: UInt8) -> Float:
        self.calls += 1
        h, w = image.shape[0] // 8, image.shape[1] // 8
        y, x = np.mgrid[:h, :w] / (h - 1)
        return (self.of_content(image) + np.stack([y, x], -1) @ self.ramp).astype(np.float32)

    def of_content(self, image: UInt8) -> Float:
        h, w = image.shape[0] // 8, image.shape[1] // 8
        patches = image.reshape(h, 8, w, 8, 3).mean((1, 3)) / 64 - 2
        return (patches @ self.content).astype(np.float32)

    def batch(self, images: Sequence[UInt8]) -> list[Float]:
        return [self(image) for image in images]


def pictures(count: int = 40) -> list[UInt8]:
    """Flat 8 x 8 squares of random colours, 64 x 64 pixels."""
    rng = np.random.default_rng(5)
    return [np.kron(rng.integers(0, 256, (8, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8)) for _ in range(count)]


def share_of_position(features: Float) -> float:
    """N x h x w x d: the share of the variance that the mean over images explains."""
    centred = features - features.mean((0, 1, 2))
    return float(np.square(centred.mean(0)).mean() / np.square(centred).mean())


def test_removal_takes_the_position_and_leaves_the_content():
    extract, images = Ramp(), pictures()
    features = np.stack(extract.batch(images))
    cleaned = project_out(features, position_directions(extract, 2))
    content = np.stack([extract.of_content(image) for image in images])
    assert share_of_position(features) > 0.8
    assert share_of_position(cleaned) < 0.1 * share_of_position(features)
    assert np.corrcoef(cleaned.ravel(), content.ravel())[0, 1] > 0.9
    assert np.corrcoef(features.ravel(), content.ravel())[0, 1] < 0.6
    assert cleaned.dtype == np.float32


def test_the_leading_directions_span_the_ramp():
    extract = Ramp()
    directions = measure_directions(extract)
    np.testing.assert_allclose(directions @ directions.T, np.eye(len(directions)), atol=1e-5)
    left = project_out(extract.ramp.astype(np.float32), directions[:2])
    assert np.linalg.norm(left) < 0.01 * np.linalg.norm(extract.ramp)


def test_measured_once_then_read_from_the_cache():
    extract = Ramp()
    first = position_directions(extract, 5)
    calls = extract.calls
    assert calls > 0
    np.testing.assert_array_equal(position_directions(extract, 2), first[:2])
    assert extract.calls == calls
    stored = list((files.cache_dir() / "position").iterdir())
    assert [path.suffix for path in stored] == [".npy"]


def test_another_extractor_is_measured_anew(tmp_path):
    first = position_directions(Ramp(), 1, folder=tmp_path)
    other = Ramp(name="another")
    other.ramp = other.ramp[:, ::-1]
    assert not np.allclose(np.abs(first), np.abs(position_directions(other, 1, folder=tmp_path)))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage", ["truncated", "empty", "pickled", "other shape", "not finite", "archive", "bomb"]
)
def test_a_damaged_cache_is_measured_again(tmp_path: Path, damage: str):
    expected = position_directions(Ramp(), 3, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-7])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "archive":
        path.write_bytes(b"PK\x03\x04 and no more")
    elif damage == "bomb":
        path.write_bytes(path.read_bytes().replace(b"'shape': (", b"'shape': (9" + b"9" * 12))
    elif damage == "pickled":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        np.save(
            path, np.zeros((3, DIM + 1), np.float32) if damage == "other shape" else np.full((3, DIM), np.nan, "f4")
        )
    np.testing.assert_array_equal(position_directions(Ramp(), 3, folder=tmp_path), expected)
    np.testing.assert_array_equal(np.load(path)[:3], expected)


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    extract = Ramp()
    assert position_directions(extract, 2, folder=blocked / "cache").shape == (2, DIM)
    assert blocked.read_text() == "in the way"


@pytest.mark.parametrize("count", [-1, 6, 1000])
def test_more_directions_than_there_are_is_an_error(count):
    # two from the ramp, three from what the average over noise leaves of the three colours
    with pytest.raises(FeatureError, match=rf"remove_position {count} .*give 0 to 5"):
        position_directions(Ramp(), count)


def test_features_without_any_bias_have_no_directions():
    class Flat(Ramp):
        def __call__(self, image: UInt8) -> Float:
            return np.zeros((image.shape[0] // 8, image.shape[1] // 8, DIM), np.float32)

    assert position_directions(Flat(), 0).shape == (0, DIM)
    with pytest.raises(FeatureError, match="has 0 directions"):
        position_directions(Flat(), 1)
