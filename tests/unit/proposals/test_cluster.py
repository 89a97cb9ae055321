"""`propose` on Ray: the rows of the local engine, whatever dies, on a running cluster or a local start.

Every start of Ray costs half a minute of processor time, so most of them run by `make faults`.
"""

import builtins
import gc
import os
import re
import signal
import sqlite3
import threading
import time

import cv2
import numpy as np
import pytest
from filelock import FileLock

from clickgrain import cli
from clickgrain.errors import ClickgrainError, ConfigError, StoreError
from clickgrain.features import load_extractor
from clickgrain.images import list_images
from clickgrain.proposals import cluster as module
from clickgrain.proposals.cluster import propose_on_ray
from clickgrain.proposals.pipeline import Failure, TreeSettings, propose
from clickgrain.proposals.store import ProposalStore

os.environ.setdefault("RAY_worker_niceness", "0")  # else (15) workers starve next to other tests
EVERYTHING = os.environ.get("CLICKGRAIN_FAULTS") == "all"
long = pytest.mark.skipif(not EVERYTHING, reason="runs under CLICKGRAIN_FAULTS=all (make faults)")
# Of Ray and what it imports; an exception in one of its threads is no warning of ours either.
pytestmark = pytest.mark.filterwarnings("ignore")


def stop(ray):
    """End it, and with it Python's handles of its processes, whose warnings are to come here."""
    ray.shutdown()
    gc.collect()


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


@pytest.fixture(scope="module")
def ray():
    return pytest.importorskip("ray", reason="needs pip install 'clickgrain[ray]'")


@pytest.fixture(scope="module", params=[0, 1], ids=["no GPU", "a GPU"])
def session(request, ray):
    """Two cores, and perhaps what Ray takes for a GPU: then every stage has processes for itself."""
    ray.init(
        num_cpus=2,
        num_gpus=request.param,
        object_store_memory=200 << 20,
        include_dashboard=False,
        log_to_driver=False,
    )
    yield request.param
    stop(ray)


@pytest.fixture
def nodes(ray):
    """A running cluster of two machines (on this one) of a core each, and the second of them."""
    from ray.cluster_utils import Cluster

    stop(ray)  # a session that runs would be taken instead of the address
    size = {"num_cpus": 1, "object_store_memory": 100 << 20}
    running = Cluster(initialize_head=True, head_node_args={**size, "include_dashboard": False})
    second = running.add_node(**size)
    yield running, second
    running.shutdown()
    stop(ray)


class Stub:
    """An extractor that does something before each batch; workers get it by value."""

    def __init__(self, before):
        self.inner, self.before = load_extractor("color-texture"), before
        self.name, self.patch_size, self.dim = self.inner.name, self.inner.patch_size, self.inner.dim

    def batch(self, images):
        self.before(images)
        return self.inner.batch(images)

    def __call__(self, image):
        return self.batch([image])[0]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def rows(*folders):
    query = "SELECT path, source_hash, height, width, settings, rows, columns, children, cost FROM trees"
    found = []
    for file in (file for folder in folders for file in (folder.glob("*.db") if folder.is_dir() else [folder])):
        db = sqlite3.connect(file)
        found += db.execute(query).fetchall()
        db.close()
    return sorted(found)


def on_ray(photos, tmp_path, **settings):
    return propose_on_ray(photos, tmp_path / "shards", **({"load": load, "batch": 4, "progress": False} | settings))


def check_same(photos, tmp_path, report, *, failed=(), done=24):
    """All, none twice, bit by bit."""
    propose(photos, tmp_path / "local.db", extractor=load(False), progress=False, ignore=failed)
    assert report.done == done
    assert sorted(failure.key.rpartition("/")[2] for failure in report.failed) == sorted(["bad.png", *failed])
    assert rows(tmp_path / "shards") == rows(tmp_path / "local.db")
    assert not (tmp_path / "shards" / module.BEGUN).exists()


@long
def test_ray_gives_the_rows_of_the_local_engine_and_continues(session, photos, tmp_path):
    check_same(photos, tmp_path, on_ray(photos, tmp_path))
    cv2.imwrite(str(photos / "album 0" / "0.png"), np.zeros((48, 64, 3), np.uint8))
    again = on_ray(photos, tmp_path)
    assert (again.done, again.skipped, len(again.failed)) == (1, 23, 1)
    propose(photos, tmp_path / "local.db", extractor=load(False), progress=False)
    assert rows(tmp_path / "shards") == rows(tmp_path / "local.db")


def dies_once(kind, flag):
    """The stage, whose first worker is killed when it has done its work, before it can tell."""

    class DiesOnce(kind):
        def work(self, items):
            result = kind.work(self, items)
            die_unless(flag)
            return result

    return DiesOnce


def die_unless(flag):
    try:
        os.close(os.open(flag, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    die()


@long
@pytest.mark.parametrize("stage", ["features", "written"])
def test_a_worker_that_dies_costs_no_image(session, photos, tmp_path, monkeypatch, stage):
    flag, dies = tmp_path / "killed", die_unless
    if stage == "written":
        for name in ("_Merge", "_All"):
            monkeypatch.setattr(module, name, dies_once(getattr(module, name), flag))
        report = on_ray(photos, tmp_path)
    else:
        report = on_ray(photos, tmp_path, load=lambda gpu: Stub(lambda images: dies(flag)))
    assert flag.exists()
    check_same(photos, tmp_path, report)


@long
def test_an_image_that_kills_every_worker_is_named_and_costs_no_other(session, photos, tmp_path):
    for name in ("3.png", "8.png"):  # of different groups, and large enough to be told from the others
        cv2.imwrite(str(next(photos.rglob(name))), np.full((90, 90, 3), 7, np.uint8))

    def die_of_it(images):
        if any(image.shape == (90, 90, 3) for image in images):
            die()

    report = on_ray(photos, tmp_path, load=lambda gpu: Stub(die_of_it))
    assert any(re.search(r"3\.png: killed its worker 3 times; .*--ignore", one.reason) for one in report.failed)
    check_same(photos, tmp_path, report, failed=["3.png", "8.png"], done=22)


@long
def test_what_breaks_for_all_ends_the_run_in_words(session, photos, tmp_path, monkeypatch):
    def broken(writes):
        class Broken(writes):
            def work(self, items):
                raise StoreError("the disk is full; free some space")

        return Broken

    for name in ("_Merge", "_All"):
        monkeypatch.setattr(module, name, broken(getattr(module, name)))
    with pytest.raises(ClickgrainError, match=r"^the disk is full; free some space$"):
        on_ray(photos, tmp_path)


@long
def test_what_is_read_ahead_is_bounded(session, tmp_path, monkeypatch):
    """240 images of 2 MB, whose features wait until no more are read: most of them must wait on the disk."""
    if not session:
        pytest.skip("without a GPU each worker reads its own images")
    (tmp_path / "photos").mkdir()
    for i in range(240):
        cv2.imwrite(str(tmp_path / "photos" / f"{i}.png"), np.full((700, 1000, 3), i, np.uint8))
    log, read = tmp_path / "read", module._decoded

    def counted(files, settings, out):
        for group in read(files, settings, out):
            with log.open("ab") as file:
                file.write(b"x")
            yield group

    class Waits(Stub):
        """Gives few features, once reading has stalled."""

        def batch(self, images):
            if not log.with_name("stalled").exists():
                seen, since = 0, time.monotonic()
                while time.monotonic() - since < 4:
                    if log.stat().st_size > seen:
                        seen, since = log.stat().st_size, time.monotonic()
                    time.sleep(0.05)
                log.with_name("stalled").write_text(f"{seen}")
            return [np.random.default_rng(0).random((4, 5, 3), np.float32) for _ in images]

    monkeypatch.setattr(module, "_decoded", counted)
    report = on_ray(tmp_path / "photos", tmp_path, load=lambda gpu: Waits(None), long_side=0)
    assert report.done == 240
    ahead = int((tmp_path / "stalled").read_text())
    assert 4 <= ahead <= (200 << 20) // (700 * 1000 * 3)


@long
def test_a_node_that_leaves_costs_no_image(nodes, photos, tmp_path):
    """And an address: the cluster runs already, and stays."""
    cluster, second = nodes
    log = tmp_path / "log"

    def wait(images):
        """Until the node has left, once both have begun."""
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        while not (tmp_path / "left").exists() and len(set(log.read_text().split())) < 2:
            time.sleep(0.05)

    def leave():
        while not (log.exists() and len(set(log.read_text().split())) >= 2):
            time.sleep(0.05)
        cluster.remove_node(second, allow_graceful=False)
        (tmp_path / "left").touch()

    leaves = threading.Thread(target=leave)
    leaves.start()
    report = on_ray(photos, tmp_path, load=lambda gpu: Stub(wait), address=cluster.address)
    leaves.join()
    assert len(list((tmp_path / "shards").glob("*.db"))) == 2
    check_same(photos, tmp_path, report)


@long
def test_shards_on_a_running_cluster_by_the_command_line(nodes, photos, tmp_path, capsys):
    words = ["--engine", "ray", "--address", nodes[0].address, "--extractor", "color-texture"]
    for part in ("1/2", "2/2"):
        out = tmp_path / part.replace("/", "-")
        assert cli.main(["propose", str(photos), "--out", str(out), "--shard", part, *words]) == 0
    done = [int(line.split()[0]) for line in capsys.readouterr().out.splitlines()]
    assert sum(done) == 24
    assert min(done) > 0
    propose(photos, tmp_path / "local.db", extractor=load(False), progress=False)
    assert rows(tmp_path / "1-2", tmp_path / "2-2") == rows(tmp_path / "local.db")


def test_a_local_start_by_the_command_line_where_a_worker_dies(ray, photos, tmp_path, capsys, monkeypatch):
    stop(ray)
    monkeypatch.setattr(module, "_All", dies_once(module._All, tmp_path / "killed"))
    words = ["--engine", "ray", "--workers", "2", "--batch", "4", "--extractor", "color-texture"]
    assert cli.main(["propose", str(photos), "--out", str(tmp_path / "shards"), *words]) == 0
    assert not ray.is_initialized()
    stop(ray)
    assert (tmp_path / "killed").exists()
    said = capsys.readouterr()
    assert "24 trees made, 0 there already, 1 photos failed" in said.out  # after what Ray says of the worker
    assert "bad.png" in said.err
    propose(photos, tmp_path / "local.db", extractor=load(False), progress=False)
    assert rows(tmp_path / "shards") == rows(tmp_path / "local.db")


def test_a_cluster_that_is_not_there(ray, photos, tmp_path, capsys):
    stop(ray)
    words = ["--engine", "ray", "--address", "127.0.0.1:1", "--extractor", "color-texture"]
    assert cli.main(["propose", str(photos), "--out", str(tmp_path / "shards"), *words]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "cannot reach Ray at 127.0.0.1:1 (" in said
    assert "check --address and that the cluster runs" in said
    assert "Traceback" not in said


class TestStores:
    """A store of the folder is open in one process at a time, which holds its lock."""

    def test_one_that_another_run_has_is_refused(self, ray, photos, tmp_path, monkeypatch):
        monkeypatch.setattr(module, "ENDING", 0.1)
        ProposalStore.create(tmp_path / "shards" / "other-0.db").close()
        with (
            FileLock(tmp_path / "shards" / "other-0.db.lock"),
            pytest.raises(StoreError, match=r"other-0\.db is in use by another run.*give another --out"),
        ):
            on_ray(photos, tmp_path)

    def test_one_that_a_worker_does_not_give_back_is_left_alone_and_named(self, tmp_path):
        for name in ("a", "b"):
            ProposalStore.create(tmp_path / f"{name}.db").close()
        with FileLock(tmp_path / "b.db.lock"), module._owned(tmp_path, 0.1) as (ours, used):
            assert (ours, used) == ([tmp_path / "a.db"], [tmp_path / "b.db"])
            with pytest.raises(Exception, match="lock"), FileLock(tmp_path / "a.db.lock", timeout=0):
                pass
        with module._owned(tmp_path, 0.1) as (ours, used):
            assert (len(ours), used) == (2, [])

    def test_a_folder_without_locks_is_refused(self, tmp_path, monkeypatch):
        def no_locks(self, timeout):
            raise NotImplementedError("no flock")

        ProposalStore.create(tmp_path / "a.db").close()
        monkeypatch.setattr(module.FileLock, "acquire", no_locks)
        with pytest.raises(StoreError, match=r"cannot be locked \(no flock\); give --out a folder"):
            module._owned(tmp_path, 0.1).__enter__()


class TestDeadlyImages:
    """`_surviving`, with exceptions in place of deaths."""

    @pytest.fixture
    def files(self, photos, tmp_path):
        (tmp_path / module.BEGUN).mkdir()
        return list_images(photos)[:6]

    def until_done(self, work, files, out):
        for deaths in range(100):
            try:
                return list(module._surviving(work, files, out)), deaths
            except OSError:
                pass
        raise AssertionError

    @pytest.mark.parametrize(("deadly", "deaths"), [((), 0), ((2,), 3 + 3), ((0, 4, 5), 3 + 3 * 3)])
    def test_each_costs_three_workers_and_its_group_three(self, files, tmp_path, deadly, deaths):
        done = []

        def work(group):
            if any(files.index(file) in deadly for file in group):
                raise OSError
            done.extend(file.key for file in group)
            return [("done", file.key) for file in group]

        result, cost = self.until_done(work, files, tmp_path)
        assert cost == deaths
        expected = [
            Failure(file.key, "") if i in deadly else ("done", file.key) for i, file in enumerate(files)
        ]  # fmt: skip
        assert [Failure(one.key, "") if isinstance(one, Failure) else one for one in result] == expected

    def test_what_died_with_others_is_done_again_as_a_group(self, files, tmp_path):
        sizes = []

        def work(group):
            sizes.append(len(group))
            if len(sizes) < 3:  # a node that leaves, twice
                raise OSError
            return group

        assert self.until_done(work, files, tmp_path) == (files, 2)
        assert sizes == [6, 6, 6]
        assert list((tmp_path / module.BEGUN).iterdir()) == []

    def test_stages_count_for_themselves(self, files, tmp_path):
        settings = TreeSettings("color-texture", 512, 4, "ward")
        items = module._surviving(lambda group: module._decode(group, settings), files, tmp_path)
        image = next(items)  # the first stage has not ended
        features = module._Features(settings, load, False, tmp_path)
        for _ in range(5):
            assert len(module._items(features(module._packed([image])))) == 1
        assert len(list(items)) == 5


def test_a_hundred_broken_images_among_good_ones_end_no_worker(photos, tmp_path):
    def break_on_some(images):
        if len(images) > 1 or images[0].shape[1] == 64:
            raise RuntimeError("this one")

    (tmp_path / module.BEGUN).mkdir()
    settings = TreeSettings("color-texture", 512, 4, "ward")
    stage = module._Features(settings, lambda gpu: Stub(break_on_some), False, tmp_path)
    files = [file for file in list_images(photos) if file.key != "bad.png"]
    read = [item for group in module._decoded(files, settings, tmp_path) for item in module._items(group)]
    for _ in range(14):  # 8 broken ones each
        found = module._items(stage(module._packed(read)))
        assert sum(isinstance(one, Failure) for one in found) == 8
        assert not [one for one in found if isinstance(one, tuple) and one[0] == "broken"]


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


def test_a_file_as_the_folder_of_stores(ray, photos, tmp_path):
    ProposalStore.create(tmp_path / "one.db").close()
    with pytest.raises(ConfigError, match="give it a folder"):
        propose_on_ray(photos, tmp_path / "one.db", load=load)
