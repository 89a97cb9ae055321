import os

import cv2
import numpy as np
import pytest

from clickgrain.evaluation import Benchmark, Target, data_hash, load_benchmark


@pytest.fixture
def folder(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), np.full((6, 8, 3), number, np.uint8))
        mask = np.zeros((6, 8), np.uint8)
        mask[2:4, 2:4] = 255
        cv2.imwrite(str(tmp_path / "masks" / f"{number}#0.png"), mask)
    return tmp_path


def test_depends_on_content_not_on_place_or_time(folder, tmp_path_factory):
    first = data_hash(load_benchmark("mine", folder))
    other = tmp_path_factory.mktemp("other") / "copy"
    folder.rename(other)
    os.utime(other / "images" / "0.png", (1, 1))
    assert data_hash(load_benchmark("elsewhere", other)) == first


@pytest.mark.parametrize("file", ["images/0.png", "masks/1#0.png"])
def test_any_file_changes_it(folder, file):
    first = data_hash(load_benchmark("mine", folder))
    path = folder / file
    path.write_bytes(path.read_bytes() + b"x")
    assert data_hash(load_benchmark("mine", folder)) != first


def test_so_does_another_reading_of_the_same_files(folder):
    first = data_hash(load_benchmark("mine", folder))
    (folder / "images").rename(folder / "img")
    (folder / "masks").rename(folder / "gt")
    for number in range(2):
        (folder / "gt" / f"{number}#0.png").rename(folder / "gt" / f"{number}.png")
    davis = load_benchmark("davis", folder)
    assert data_hash(davis) != first


def test_labels_of_one_file_differ(folder):
    (folder / "masks").rename(folder / "annotation")
    (folder / "images").rename(folder / "image")
    cv2.imwrite(str(folder / "annotation" / "0.png"), np.arange(48, dtype=np.uint8).reshape(6, 8) % 3)
    targets = [target for target in load_benchmark("oai-zib", folder) if target.id in ("0#1", "0#2")]
    assert len({target.digest() for target in targets}) == 2


def test_arrays_count_by_content_and_others_by_id():
    image, mask = np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=bool)
    same = Benchmark.of([(image.copy(), mask.copy())])
    assert data_hash(same) == data_hash(Benchmark.of([(image, mask)]))
    assert data_hash(same) != data_hash(Benchmark.of([(image, ~mask)]))
    own = [Target(name, "i", lambda: image, lambda size: mask) for name in "ab"]
    assert data_hash(Benchmark("own", own[:1])) != data_hash(Benchmark("own", own))


def test_an_unreadable_file_is_no_error_here(folder):
    benchmark = load_benchmark("mine", folder)
    (folder / "images" / "0.png").unlink()
    assert len(data_hash(benchmark)) == 20
