"""`propose` on Ray. Without Ray most is skipped: pip install 'clickgrain[ray]' and run pytest on this file."""

import builtins
import os
import signal
import sqlite3

import cv2
import numpy as np
import pytest

from clickgrain import cli
from clickgrain.errors import ConfigError
from clickgrain.features import load_extractor
from clickgrain.proposals.cluster import propose_on_ray
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore


def load(gpu):
    return load_extractor("color-texture")


@pytest.fixture
def photos(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "photos" / f"album {i % 2}" / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = rng.integers(0, 255, (4, 5, 3), np.uint8)
        cv2.imwrite(str(path), cv2.resize(coarse, (64 + 8 * (i % 3), 48), interpolation=cv2.INTER_NEAREST))
    (tmp_path / "photos" / "bad.png").write_bytes(b"no image")
    return tmp_path / "photos"


@pytest.fixture(scope="module", params=[0, 1], ids=["no GPU", "a GPU"])
def cluster(request):
    """Two cores, and perhaps what Ray takes for a GPU: then every stage has processes for itself."""
    ray = pytest.importorskip("ray", reason="needs pip install 'clickgrain[ray]'")
    ray.init(
        num_cpus=2,
        num_gpus=request.param,
        object_store_memory=200 << 20,
        include_dashboard=False,
        log_to_driver=False,
    )
    yield ray
    ray.shutdown()


def rows(folder):
    query = "SELECT path, source_hash, height, width, settings, rows, columns, children, cost FROM trees"
    found = []
    for file in folder.glob("*.db") if folder.is_dir() else [folder]:
        db = sqlite3.connect(file)
        found += db.execute(query).fetchall()
        db.close()
    return sorted(found)


def check_same(photos, tmp_path, report):
    propose(photos, tmp_path / "local.db", extractor=load(False), progress=False)
    assert (report.done, [failure.key for failure in report.failed]) == (24, ["bad.png"])
    assert rows(tmp_path / "shards") == rows(tmp_path / "local.db")  # all, none twice, bit by bit


@pytest.mark.filterwarnings("ignore")
def test_ray_gives_the_rows_of_the_local_engine_and_continues(cluster, photos, tmp_path):
    report = propose_on_ray(photos, tmp_path / "shards", load=load, batch=4, progress=False)
    check_same(photos, tmp_path, report)
    cv2.imwrite(str(photos / "album 0" / "0.png"), np.zeros((48, 64, 3), np.uint8))
    again = propose_on_ray(photos, tmp_path / "shards", load=load, batch=4, progress=False)
    assert (again.done, again.skipped, len(again.failed)) == (1, 23, 1)
    propose(photos, tmp_path / "local.db", extractor=load(False), progress=False)
    assert rows(tmp_path / "shards") == rows(tmp_path / "local.db")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stage", ["features", "written"])
def test_a_worker_that_dies_costs_no_image(cluster, photos, tmp_path, stage):
    flag = str(tmp_path / "killed")

    def die_once():
        try:
            os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)

    class Deadly:
        def __init__(self):
            self.inner = load_extractor("color-texture")
            self.name, self.patch_size, self.dim = self.inner.name, self.inner.patch_size, self.inner.dim

        def batch(self, images):
            if stage == "features":
                die_once()
            return self.inner.batch(images)

        __call__ = None

    from clickgrain.proposals import cluster as module

    def deadly(writes):
        class DeadlyStage(writes):
            def __call__(self, group):
                result = writes.__call__(self, group)
                if stage == "written":
                    die_once()
                return result

        return DeadlyStage

    merge, every = module._Merge, module._All
    module._Merge, module._All = deadly(merge), deadly(every)
    try:
        report = propose_on_ray(photos, tmp_path / "shards", load=lambda gpu: Deadly(), batch=4, progress=False)
    finally:
        module._Merge, module._All = merge, every
    assert (tmp_path / "killed").exists()
    check_same(photos, tmp_path, report)


def test_without_ray_the_error_names_the_extra(photos, tmp_path, monkeypatch):
    real = builtins.__import__

    def no_ray(name, *args, **kwargs):
        if name == "ray":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_ray)
    with pytest.raises(ConfigError, match=r"clickgrain\[ray\]"):
        propose_on_ray(photos, tmp_path / "shards", load=load)


def test_address_needs_the_engine(photos, tmp_path):
    assert cli.main(["propose", str(photos), "--out", str(tmp_path / "x.db"), "--address", "auto"]) == 2


@pytest.mark.filterwarnings("ignore")
def test_a_file_as_the_folder_of_stores(photos, tmp_path):
    pytest.importorskip("ray", reason="needs pip install 'clickgrain[ray]'")
    ProposalStore.create(tmp_path / "one.db").close()
    with pytest.raises(ConfigError, match="give it a folder"):
        propose_on_ray(photos, tmp_path / "one.db", load=load)
