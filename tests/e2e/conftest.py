"""Photos and masks that the stories draw for themselves."""

import cv2
import numpy as np
import pytest

from clickgrain.cli import main


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    """No story depends on the terminal that it is told in."""
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "dumb")


@pytest.fixture
def clickgrain(capsys):
    """Run a command line: (status, stdout, stderr)."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def disk():
    """An orange disk on blue, 96 x 128, slightly noisy, and its mask; `shift` moves it to the right."""

    def draw(shift=0, seed=0):
        y, x = np.mgrid[:96, :128]
        mask = np.hypot(x - 50 - shift, y - 48) < 28
        image = np.where(mask[..., None], (230, 140, 40), (40, 60, 150))
        noise = np.random.default_rng(seed).normal(0, 6, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8), mask

    return draw


@pytest.fixture
def save():
    """Write an RGB image or a mask as a file, folders included."""

    def write(path, array):
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = array.astype(np.uint8) * 255 if array.dtype == bool else array[..., ::-1]
        assert cv2.imwrite(str(path), picture)
        return path

    return write


@pytest.fixture
def eval_set(tmp_path, disk, save):
    """A data set of three images in the generic layout."""
    root = tmp_path / "eval"
    for number in range(3):
        image, mask = disk(shift=10 * number, seed=number)
        save(root / "images" / f"disk{number}.png", image)
        save(root / "masks" / f"disk{number}#0.png", mask)
    return root
