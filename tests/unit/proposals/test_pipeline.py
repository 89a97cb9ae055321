import os
import sqlite3

import cv2
import numpy as np
import pytest

from clickgrain.errors import ConfigError, DataError, FeatureError, StoreError
from clickgrain.proposals import pipeline as merging
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.tree import build_tree


class PatchMeans:
    """Mean colour of 8 x 8 patches, and a count of the images seen."""

    name, patch_size, dim = "patch-means", 8, 3

    def __init__(self):
        self.seen = 0

    def __call__(self, image):
        self.seen += 1
        height, width = image.shape[:2]
        return cv2.resize(
            image.astype(np.float32), (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA
        )

    def batch(self, images):
        return [self(image) for image in images]


class Picky(PatchMeans):
    """Refuses photos that are 32 pixels wide, as a real extractor might, and gives NaN for those of 40."""

    def __call__(self, image):
        if image.shape[1] == 32:
            raise FeatureError("cannot do 32 pixels; use others")
        features = super().__call__(image)
        return features * np.nan if image.shape[1] == 40 else features


class Interrupted(PatchMeans):
    """The user presses Ctrl-C during the fourth image."""

    def __call__(self, image):
        if self.seen == 3:
            raise KeyboardInterrupt
        return super().__call__(image)


class Broken(PatchMeans):
    def __call__(self, image):
        raise RuntimeError("device lost")


class Moody(PatchMeans):
    """Breaks on photos 32 pixels wide, and on batches that hold one of 48, as a GPU might."""

    def __call__(self, image):
        if image.shape[1] == 32:
            raise RuntimeError("CUDA error: out of memory\nsearch for help")
        return super().__call__(image)

    def batch(self, images):
        if any(image.shape[1] == 48 for image in images):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        return super().batch(images)


class Forgetful(PatchMeans):
    """Gives one answer too few for a batch."""

    def batch(self, images):
        return super().batch(images)[1:]


def paint(path, seed=0, size=(48, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (4, 5, 3), np.uint8)
    cv2.imwrite(str(path), cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_NEAREST))


@pytest.fixture
def photos(tmp_path):
    for i in range(9):
        paint(tmp_path / "photos" / f"album {i % 2}" / f"{i}.png", seed=i)
    return tmp_path / "photos"


@pytest.fixture
def run(photos, tmp_path):
    def run(extractor=None, store=tmp_path / "trees.db", **settings):
        settings = {"batch": 3, "workers": 2, "progress": False, **settings}
        return propose(photos, store, extractor=extractor or PatchMeans(), **settings)

    return run


def test_every_photo_gets_its_tree(run, photos, tmp_path):
    report = run()
    store = ProposalStore(tmp_path / "trees.db")
    assert (report.done, report.skipped, report.failed) == (9, 0, [])
    assert store.keys() == sorted(f"album {i % 2}/{i}.png" for i in range(9))
    for key in store:
        image = cv2.imread(str(photos / key))[..., ::-1]
        expected = build_tree(PatchMeans()(image), image.shape[:2])
        np.testing.assert_array_equal(store[key].children, expected.children)
        assert store[key].image_size == (48, 64)
    assert "patch-means" in store.settings(store.find("album 0/0.png").settings)


def test_a_second_run_does_nothing(run):
    run()
    extractor = PatchMeans()
    report = run(extractor)
    assert (report.done, report.skipped, extractor.seen) == (0, 9, 0)


def test_changed_photos_are_done_again(run, photos, tmp_path):
    run()
    changed, touched = photos / "album 0" / "0.png", photos / "album 1" / "1.png"
    paint(changed, seed=99, size=(40, 80))
    later = touched.stat().st_mtime_ns + 10**9
    os.utime(touched, ns=(later, later))
    report = run()
    assert (report.done, report.skipped) == (1, 8)
    store = ProposalStore(tmp_path / "trees.db")
    assert store["album 0/0.png"].grid == (5, 10)
    assert store.find("album 1/1.png").source.mtime_ns == later


@pytest.mark.parametrize("settings", [{"linkage": "average"}, {"connectivity": 8}, {"long_side": 32}])
def test_other_settings_are_done_again(run, tmp_path, settings):
    run()
    assert run(**settings).done == 9
    assert len(ProposalStore(tmp_path / "trees.db")) == 9


def test_large_photos_are_shrunk_for_the_features_only(run, tmp_path):
    run(long_side=32)
    tree = ProposalStore(tmp_path / "trees.db")["album 0/0.png"]
    assert (tree.grid, tree.image_size) == ((3, 4), (48, 64))


def test_bad_photos_stop_nobody(run, photos):
    (photos / "empty.jpg").write_bytes(b"")
    (photos / "text.png").write_text("no image")
    paint(photos / "wide 32.png", size=(48, 32))
    paint(photos / "wide 40.png", size=(48, 40))
    (photos / "dangling.png").symlink_to(photos / "nowhere.png")
    report = run(Picky())
    reasons = {failure.key: failure.reason for failure in report.failed}
    assert report.done == 9
    assert set(reasons) == {"empty.jpg", "text.png", "wide 32.png", "wide 40.png", "dangling.png"}
    assert all(str(photos / key) in reason for key, reason in reasons.items())
    assert "cannot do 32 pixels" in reasons["wide 32.png"]
    assert "NaN" in reasons["wide 40.png"]
    assert "9 trees made, 0 there already, 5 photos failed" in report.summary()
    assert run().done == 2  # tried again, by an extractor that can


def test_shards_together_are_the_folder(run, tmp_path):
    parts = [run(store=tmp_path / f"{i}.db", shard=f"{i}/3") for i in (1, 2, 3)]
    assert sum(part.done for part in parts) == 9
    whole = ProposalStore(tmp_path / "1.db")
    for i in (2, 3):
        whole.merge(ProposalStore(tmp_path / f"{i}.db"))
    assert len(whole) == 9


def test_a_folder_of_shards_is_continued(run, photos, tmp_path):
    for part in (1, 2):
        run(store=tmp_path / "shards" / f"{part}.db", shard=f"{part}/2")
    again = run(store=tmp_path / "shards")
    assert (again.skipped, again.done) == (9, 0)
    key = ProposalStore(tmp_path / "shards" / "2.db").keys()[0]
    paint(photos / key, seed=77, size=(40, 40))
    paint(photos / "new.png", seed=78)
    assert run(store=tmp_path / "shards").done == 2
    counts = [len(ProposalStore(tmp_path / "shards" / f"{part}.db")) for part in (1, 2)]
    assert sum(counts) == len(ProposalStore.open(tmp_path / "shards")) == 10
    assert ProposalStore.open(tmp_path / "shards").tree(key).image_size == (40, 40)


def test_ignored_photos_are_left_out(run):
    assert run(ignore=("album 1",)).done == 5


def test_an_interrupt_keeps_what_is_finished(run, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), batch=1)
    assert 1 <= len(ProposalStore(tmp_path / "trees.db")) <= 3
    finished = len(ProposalStore(tmp_path / "trees.db"))
    report = run()
    assert (report.done, report.skipped) == (9 - finished, finished)


def test_an_interrupt_while_trees_are_written_keeps_them(run, tmp_path, monkeypatch):
    real, calls = ProposalStore.write, []

    def stopped(self, rows, settings=None):
        calls.append(len(rows))
        if len(calls) == 1:
            raise KeyboardInterrupt
        real(self, rows, settings)

    monkeypatch.setattr(ProposalStore, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert calls[0] == calls[1] == len(ProposalStore(tmp_path / "trees.db")) > 0


def test_a_tree_that_cannot_be_made_costs_no_other_photo(run, monkeypatch):
    real = merging.build_tree

    def failing(features, *given, **named):
        if features.shape[:2] == (6, 8) and not failed:
            failed.append(1)
            raise ValueError("no merge left")
        return real(features, *given, **named)

    failed = []
    monkeypatch.setattr(merging, "build_tree", failing)
    report = run()
    assert report.done == 8
    assert ".png: its tree cannot be made (ValueError: no merge left)" in report.failed[0].reason


def test_a_broken_extractor_is_not_blamed_on_the_photos(run):
    with pytest.raises(RuntimeError, match="device lost"):
        run(Broken())


def test_a_batch_that_breaks_goes_on_photo_by_photo(run, photos, tmp_path):
    paint(photos / "wide 32.png", size=(48, 32))
    paint(photos / "album 1" / "wide 48.png", size=(40, 48))
    report = run(Moody())
    assert report.done == 10
    (failure,) = report.failed
    assert failure.key == "wide 32.png"
    assert f"{photos / 'wide 32.png'}: patch-means broke on it at 32 x 48 pixels (CUDA error: out of memory);" in (
        failure.reason
    )
    assert len([note for note in report.notes if "batches were taken photo by photo" in note]) == 1
    assert run(Moody()).skipped == 10


def test_a_batch_of_the_wrong_length_goes_on_photo_by_photo(run):
    assert run(Forgetful()).done == 9


def test_an_extractor_that_breaks_for_good_stops_the_run(run, monkeypatch):
    monkeypatch.setattr("clickgrain.proposals.pipeline.IN_A_ROW", 4)

    class Dying(PatchMeans):
        def __call__(self, image):
            if self.seen >= 3:
                raise RuntimeError("device lost")
            return super().__call__(image)

    with pytest.raises(RuntimeError, match="device lost"):
        run(Dying(), batch=1)
    assert run().skipped == 3


def test_files_that_are_not_taken_are_named(run, photos):
    (photos / "raw.CR2").touch()
    os.mkfifo(photos / "pipe.png")
    report = run()
    assert (report.done, report.failed) == (9, [])
    assert "pipe.png" in report.left_out[0]
    assert "raw.CR2" in report.left_out[1]


def test_a_full_disk_keeps_finished_trees(run, photos, tmp_path):
    store = ProposalStore.create(tmp_path / "trees.db")
    run(store=store)
    paint(photos / "zebra.png", size=(256, 256))
    pages = store._connections.get().execute("PRAGMA page_count").fetchone()[0]
    store._connections.get().execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match=r"trees\.db .*full.*finished photos are kept"):
        run(store=store)
    assert len(store) == 9
    store.close()  # a new connection has no limit: space was freed
    report = run(store=store)
    assert (report.done, report.skipped) == (1, 9)


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("damage", ["header", "pages", "cut"])
def test_a_damaged_store_is_deleted_and_made_again(run, tmp_path, damage, opened):
    run()
    path = tmp_path / "trees.db"
    store = ProposalStore(path) if opened else path
    if opened:
        store.close()  # what it had read may still be right
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:16] = bytes(16)
    elif damage == "pages":
        content[100:8192] = b"\xaa" * 8092
    path.write_bytes(content[: 4096 if damage == "cut" else None])
    (tmp_path / "trees.db-wal").unlink(missing_ok=True)
    report = run(store=store)
    assert (report.done, report.skipped) == (9, 0)
    assert f"{path}: was damaged (" in report.notes[0]
    assert len(ProposalStore(path)) == 9
    assert run(store=store).skipped == 9


def test_rows_are_written_in_batches(run, tmp_path, monkeypatch):
    commits = []
    original = ProposalStore.write
    monkeypatch.setattr(
        ProposalStore, "write", lambda self, rows, s=None: (commits.append(len(rows)), original(self, rows, s))
    )
    run()
    assert commits == [9]


def test_a_file_that_changes_while_it_is_read(run, photos):
    class Change(PatchMeans):
        def batch(self, images):
            paint(photos / "album 1" / "3.png", seed=50, size=(56, 64))
            return super().batch(images)

    report = run(extractor=Change(), batch=9)
    assert [failure.key for failure in report.failed] == ["album 1/3.png"]
    assert "changed while it was read" in report.failed[0].reason


def test_one_photo_is_a_folder_too(photos, tmp_path):
    store = ProposalStore.create(tmp_path / "one.db")
    propose(photos / "album 0" / "0.png", store, extractor=PatchMeans(), progress=False)
    assert store.keys() == ["0.png"]


def test_nothing_to_do_is_an_error(tmp_path, run):
    with pytest.raises(DataError):
        propose(tmp_path / "nowhere", tmp_path / "t.db", extractor=PatchMeans(), progress=False)
    with pytest.raises(ConfigError, match="--shard"):
        run(shard="3/2")


def test_a_database_of_someone_else_is_left_alone(run, tmp_path):
    with sqlite3.connect(tmp_path / "trees.db") as connection:
        connection.execute("CREATE TABLE cats (name TEXT)")
    connection.close()
    with pytest.raises(StoreError, match="no proposal store"):
        run()


def test_the_bar_goes_to_stderr(run, capfd):
    run(progress=True)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "9/9" in captured.err
