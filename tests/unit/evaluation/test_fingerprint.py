import os
import sys

import cv2
import numpy as np
import pytest

from clickgrain.evaluation import BASELINES, Benchmark, Method, Target, fingerprint, load_benchmark
from clickgrain.evaluation.fingerprint import _bare, data_hash, source_code

CODE = '''"""About this module."""

import cv2


class Method:
    """What it does."""

    radius = 5
    """Of the disk."""

    def answer(self, x):
        # why so
        return f"# {x} " * self.radius  # five times
'''


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


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(code):
        (tmp_path / "hashed_method.py").write_text(code)
        sys.modules.pop("hashed_method", None)
        return source_code("hashed_method")

    yield write
    sys.modules.pop("hashed_method", None)


class TestData:
    def test_depends_on_content_not_on_place_or_time(self, folder, tmp_path_factory):
        first = data_hash(load_benchmark("mine", folder))
        other = tmp_path_factory.mktemp("other") / "copy"
        folder.rename(other)
        os.utime(other / "images" / "0.png", (1, 1))
        assert data_hash(load_benchmark("elsewhere", other)) == first

    @pytest.mark.parametrize("file", ["images/0.png", "masks/1#0.png"])
    def test_any_file_changes_it(self, folder, file):
        first = data_hash(load_benchmark("mine", folder))
        path = folder / file
        path.write_bytes(path.read_bytes() + b"x")
        assert data_hash(load_benchmark("mine", folder)) != first

    def test_so_does_another_reading_of_the_same_files(self, folder):
        first = data_hash(load_benchmark("mine", folder))
        (folder / "images").rename(folder / "img")
        (folder / "masks").rename(folder / "gt")
        for number in range(2):
            (folder / "gt" / f"{number}#0.png").rename(folder / "gt" / f"{number}.png")
        davis = load_benchmark("davis", folder)
        assert data_hash(davis) != first

    def test_labels_of_one_file_differ(self, folder):
        (folder / "masks").rename(folder / "annotation")
        (folder / "images").rename(folder / "image")
        cv2.imwrite(str(folder / "annotation" / "0.png"), np.arange(48, dtype=np.uint8).reshape(6, 8) % 3)
        targets = [target for target in load_benchmark("oai-zib", folder) if target.id in ("0#1", "0#2")]
        assert len({target.digest() for target in targets}) == 2

    def test_arrays_count_by_content_and_others_by_id(self):
        image, mask = np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=bool)
        same = Benchmark.of([(image.copy(), mask.copy())])
        assert data_hash(same) == data_hash(Benchmark.of([(image, mask)]))
        assert data_hash(same) != data_hash(Benchmark.of([(image, ~mask)]))
        own = [Target(name, "i", lambda: image, lambda size: mask) for name in "ab"]
        assert data_hash(Benchmark("own", own[:1])) != data_hash(Benchmark("own", own))

    def test_an_unreadable_file_is_no_error_here(self, folder):
        benchmark = load_benchmark("mine", folder)
        (folder / "images" / "0.png").unlink()
        assert len(data_hash(benchmark)) == 20


class TestCode:
    def test_comments_and_docstrings_do_not_count(self, module):
        first = module(CODE)
        edited = CODE.replace("# why so", "# because").replace("About this", "On that").replace("Of the", "In")
        assert module(edited.replace("\n\n\n", "\n\n")) == first
        assert module(CODE.replace("radius = 5", "radius = 6")) != first
        assert module(CODE.replace('f"# {x} "', 'f"#  {x} "')) != first

    def test_what_is_left_is_the_code(self):
        left = _bare(CODE)
        assert "About" not in left
        assert "why" not in left
        assert "five" not in left
        assert 'return f"# {x} " * self.radius' in left

    def test_the_release_of_a_library_counts_its_patch_does_not(self, module, monkeypatch):
        hashes = []
        for version in ("4.12.0.88", "4.12.1", "4.13"):
            monkeypatch.setattr(fingerprint, "version", lambda name, version=version: version)
            hashes.append(module(CODE))
        assert hashes[0] == hashes[1] != hashes[2]

    def test_a_baseline_covers_what_it_shares_with_others(self, monkeypatch):
        first = {name: Method(name).code for name in BASELINES}
        assert len({*first.values()}) == len({BASELINES[name].__module__ for name in BASELINES})
        source = fingerprint._source
        changed = "clickgrain.evaluation.baselines.seeds"
        monkeypatch.setattr(fingerprint, "_source", lambda name: source(name) + "\nX = 1\n" * (name == changed))
        moved = {name for name in BASELINES if Method(name).code != first[name]}
        assert moved == {"opencv-grabcut", "graph-cut", "random-walker", "geodesic"}

    def test_models_depend_on_networks_and_trees(self):
        assert Method("tree").code == Method("some/model").code
        assert Method("tree").code not in {Method(name).code for name in BASELINES}
