"""Images that do not fit into memory are read again: the same samples, bounded memory, no run that ends."""

import re
import shutil
import tarfile
import threading
from types import SimpleNamespace

import cv2
import fsspec
import numpy as np
import pytest
import torch

from clickgrain.errors import ConfigError, DataError, ImageError, TrainingError
from clickgrain.evaluation import load_benchmark
from clickgrain.progress import Quiet
from clickgrain.proposals.pipeline import propose
from clickgrain.proposals.store import ProposalStore
from clickgrain.training import image_set as module
from clickgrain.training.config import LearnArgs
from clickgrain.training.finetune import choose_labelled, load_labelled
from clickgrain.training.image_set import Entry, ImageSet
from clickgrain.training.loop import fit
from clickgrain.training.prepare import choose_photos, prepare
from clickgrain.training.samples import Pools, make_batch, sample_rng

SMALL = 220_000.0  # bytes: about six images of 96 x 72, of some thirty


class Notes(Quiet):
    """Keeps what a run says; `at` maps a step to what then happens."""

    def __init__(self, at=None):
        self.said, self.at, self.step = [], at or {}, 0

    def note(self, text):
        self.said.append(text)

    def start(self, stage, total=None, done=0):
        self.step = done

    def advance(self, *words):
        self.step += 1
        self.at.get(self.step, lambda: None)()


@pytest.fixture(scope="module")
def source(tmp_path_factory, drawn, extractor):
    """A folder of ten photos, two of them large, the trees, and two cutouts."""
    root = tmp_path_factory.mktemp("source")
    for folder in ("photos", "cutouts"):
        (root / folder).mkdir()
    for seed in range(10):
        image = cv2.resize(drawn(seed), (300, 225)) if seed < 2 else drawn(seed)
        cv2.imwrite(str(root / "photos" / f"p{seed}.png"), image[..., ::-1])
    for i, color in enumerate([(220, 30, 40), (20, 200, 60)]):
        rgba = np.zeros((40, 40, 4), np.uint8)
        cv2.circle(rgba, (20, 20), 15, (*color, 255), -1)
        cv2.imwrite(str(root / "cutouts" / f"thing{i}.png"), rgba)
    propose(root / "photos", root / "trees.db", extractor=extractor, progress=False, workers=1)
    return root


@pytest.fixture(scope="module")
def args(settings):
    trees = {"hidden": 0.3, "semantic": 0.5, "edges": 0.5, "large": 0.3}
    return settings(trees | {"objects": 0.3, "tiles": 2, "cutouts": 0.3}, steps=4, threads=2)


@pytest.fixture(scope="module")
def prepared(source, args, extractor):
    """What is prepared of these photos, or of the same ones elsewhere, with so many bytes of memory."""

    def make(memory, photos=None, store=None):
        store = store or ProposalStore(source / "trees.db")
        chosen, _ = choose_photos(photos or source / "photos", store, (), extractor.name)
        return prepare(
            chosen, store, args, extractor, Quiet(), seed=0, cutouts=source / "cutouts", memory=memory
        )  # fmt: skip

    return make


@pytest.fixture(scope="module")
def held(prepared):
    """With everything in memory."""
    data = prepared(1e9)
    assert not data.image_set.streams
    return data


def assert_same_batches(one, other, args, steps=4):
    for step in range(steps):
        a, b = (
            make_batch(data.image_set, data.images, args.data, args.clicks, seed=0, step=step, count=4)
            for data in (one, other)
        )
        assert (a.images, a.index, a.rounds) == (b.images, b.index, b.rounds)
        for name in ("masks", "valid", "matrices"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name
        assert all(map(np.array_equal, a.to_tree, b.to_tree))
        for seen, again in zip(a.shown, b.shown, strict=True):
            assert np.array_equal(seen.pixels, again.pixels)
            for name in ("vectors", "lab"):
                assert np.array_equal(getattr(seen.leaves, name), getattr(again.leaves, name)), name
            for name in ("tree", "edges", "semantic"):
                trees = getattr(seen.leaves, name), getattr(again.leaves, name)
                assert np.array_equal(trees[0].children, trees[1].children), name
        for prompt, same in zip(a.prompts, b.prompts, strict=True):
            assert np.array_equal(prompt.points, same.points)


class TestSamples:
    def test_they_are_the_same_bit_for_bit(self, prepared, held, args):
        data = prepared(SMALL)
        assert data.image_set.streams
        assert data.images == held.images
        assert data.image_set.names == held.image_set.names
        assert data.image_set.objects.keys() == held.image_set.objects.keys()
        assert any("#tile" in name for name in data.image_set.names)
        assert any("cutouts-" in name for name in data.image_set.names)
        assert_same_batches(data, held, args)
        for kind in ("proposals", "composites", "objects", "hidden"):
            pairs = zip(getattr(data.validation, kind), getattr(held.validation, kind), strict=True)
            assert all(np.array_equal(x, y) for pair, same in pairs for x, y in zip(pair, same))

    @pytest.mark.parametrize("where", ["tar", "remote"])
    def test_tars_and_places_elsewhere_are_read_again_too(
        self, where, source, prepared, args, extractor, tmp_path, monkeypatch
    ):
        monkeypatch.setenv("CLICKGRAIN_CACHE", str(tmp_path / "cache"))
        if where == "tar":
            place = tmp_path / "s.tar"
            with tarfile.open(place, "w") as tar:
                tar.add(source / "photos", ".")
        else:
            place = f"memory://{tmp_path.name}"
            for path in (source / "photos").iterdir():
                fsspec.filesystem("memory").pipe(f"{place}/{path.name}", path.read_bytes())
        with ProposalStore.create(tmp_path / "trees.db") as store:
            propose(place, store, extractor=extractor, progress=False)
            assert_same_batches(prepared(SMALL, place, store), prepared(1e9, place, store), args, steps=2)

    def test_threads_that_read_at_the_same_time_see_the_same_images(self, prepared, held):
        """Composites are made of photos that other threads wait for: no two may wait for each other."""
        image_set, wrong = prepared(SMALL).image_set, []

        def look(seed):
            for i in np.random.default_rng(seed).integers(0, len(image_set), 25):
                if not np.array_equal(image_set.image(int(i)), held.image_set.image(int(i))):
                    wrong.append(int(i))

        threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in threads)
        assert wrong == []

    def test_what_a_step_shows_is_known_before_it_is_prepared(self, held, args):
        pools = Pools.of(held.image_set, held.images, args.data)
        first = [pools.choose(args.data, sample_rng(0, step, i))[0] for step in range(10) for i in range(4)]
        shown = [
            i
            for step in range(10)
            for i in make_batch(held.image_set, pools, args.data, args.clicks, seed=0, step=step, count=4).images
        ]
        assert np.mean([a == b for a, b in zip(first, shown, strict=True)]) > 0.7  # others had no target


class TestMemory:
    def test_it_is_bounded_and_composites_that_do_not_fit_are_not_even_made(self, prepared, args, monkeypatch):
        most = []
        hold = module.ImageSet._hold

        def watched(self, i, entry):
            result = hold(self, i, entry)
            most.append(self._used)
            return result

        monkeypatch.setattr(module.ImageSet, "_hold", watched)
        data = prepared(SMALL)
        assert len(data.image_set._held) < 10 < len(data.image_set)
        made = len(most)
        for step in range(3):
            make_batch(data.image_set, data.images, args.data, args.clicks, seed=0, step=step, count=4)
        assert len(most) > made  # read again
        assert max(most) <= module.IMAGES * SMALL
        said = data.image_set.described()
        assert re.match(r"\d of 28 images are in memory \(0\.0001\d* GB\), the others are read ahead", said)

    def test_the_least_recently_used_is_evicted(self):
        image_set, read = ImageSet(8, memory=3.5 * 192 / module.IMAGES), []

        def again(i):
            read.append(i)
            return Entry(np.full((8, 8, 3), i, np.uint8))

        for i in range(5):
            image_set.add(again(i), str(i), lambda i=i: again(i))
        read.clear()
        for i in (2, 3, 4, 0, 4, 3, 0):
            assert (image_set.image(i) == i).all()
        assert read == [0]

    def test_what_cannot_be_read_again_stays(self):
        image_set = ImageSet(8, memory=1.0)
        for i in range(4):
            image_set.add(Entry(np.full((8, 8, 3), i, np.uint8)), str(i))
        assert [int(image_set.image(i)[0, 0, 0]) for i in range(4)] == [0, 1, 2, 3]
        assert not image_set.streams

    def test_less_than_a_batch_takes_is_refused(self, tmp_path):
        with pytest.raises(ConfigError, match=r"--memory 0\.1 must be 0\.5 or more"):
            LearnArgs(tmp_path, tmp_path / "run", memory=0.1)


class TestLaterFailures:
    @pytest.fixture
    def streamed(self, source, prepared, tmp_path):
        shutil.copytree(source / "photos", tmp_path / "photos")
        return SimpleNamespace(data=prepared(SMALL, tmp_path / "photos"), photos=tmp_path / "photos")

    def fit(self, streamed, make_model, args, out, progress):
        return fit(make_model(), streamed.data.image_set, streamed.data.images, args, out, progress=progress)

    def test_photos_that_cannot_be_read_later_end_no_run(self, streamed, make_model, args, tmp_path, drawn):
        for number, path in enumerate(sorted(streamed.photos.iterdir())[2:8]):
            if number % 3 == 0:
                path.unlink()
            elif number % 3 == 1:
                path.write_bytes(path.read_bytes()[:300])
            else:
                cv2.imwrite(str(path), drawn(99))
        notes = Notes()
        result = self.fit(streamed, make_model, args, tmp_path / "run", notes)
        assert result.steps == len(result.losses) == args.steps
        lost = streamed.data.image_set.lost
        assert lost
        assert all(".png" in why for why in lost.values())
        assert [text for text in notes.said if text.startswith("left out for now: ")]

    def test_trees_that_are_lost_end_no_run_either(self, source, prepared, make_model, args, tmp_path):
        shutil.copyfile(source / "trees.db", tmp_path / "trees.db")
        store = ProposalStore(tmp_path / "trees.db")
        data = prepared(SMALL, None, store)
        data.image_set.tree = data.image_set._read_tree  # nothing cached

        with store._connections.writing() as db:
            db.execute("DELETE FROM trees WHERE path < 'p6'")
        result = fit(make_model(), data.image_set, data.images, args, tmp_path / "run", progress=Quiet())
        assert result.steps == args.steps
        assert data.image_set.lost

    def test_if_none_is_left_the_run_says_why(self, streamed, args):
        shutil.rmtree(streamed.photos)
        photos = [i for i in streamed.data.images if i < streamed.data.image_set.photos]
        for i in range(len(streamed.data.image_set)):
            streamed.data.image_set._held.pop(i, None)
        with pytest.raises(TrainingError, match=r"no target of a useful size in 30 crops.*no such file"):
            make_batch(streamed.data.image_set, photos, args.data, args.clicks, seed=0, step=0, count=1)

    def test_another_image_under_the_same_name_is_not_taken(self):
        image_set = ImageSet(8, memory=1.0)
        for i in range(2):
            one, other = (Entry(np.full((8, 8, 3), value, np.uint8)) for value in (i, 7))
            image_set.add(one, str(i), lambda other=other: other)
        with pytest.raises(ImageError, match=r"0: the image has changed since the run began"):
            image_set.image(0)


class TestRuns:
    def test_a_run_that_streams_and_is_stopped_ends_with_the_same_weights(
        self, prepared, held, make_model, args, tmp_path, one_thread
    ):
        notes = Notes()
        whole = fit(make_model(), held.image_set, held.images, args, tmp_path / "whole", progress=notes)
        assert held.image_set.described().startswith(f"all {len(held.image_set)} images are in memory")

        def stop():
            raise KeyboardInterrupt

        for progress in (Notes({2: stop}), Notes({3: stop}), notes):
            data = prepared(SMALL)
            out = tmp_path / "streamed"
            try:
                again = fit(make_model(), data.image_set, data.images, args, out, progress=progress)
            except KeyboardInterrupt:
                assert progress is not notes
        assert again.steps == whole.steps == args.steps
        said = data.image_set.described()
        assert "are read ahead when their turn comes; --memory (now 0.00022 GB) sets how many fit" in said
        one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "streamed"))
        assert one == other

    def test_labelled_images_are_read_again_too(self, tmp_path, drawn, extractor):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir()
        for i in range(8):
            cv2.imwrite(str(tmp_path / "images" / f"i{i}.png"), drawn(i))
            mask = np.zeros((72, 96), np.uint8)
            cv2.circle(mask, (48, 36), 20, 255, -1)
            cv2.imwrite(str(tmp_path / "masks" / f"i{i}#1.png"), mask)
        groups = choose_labelled(load_benchmark("labelled", tmp_path), 1.0, held_out=0.1, seed=0).train
        few, all_ = (
            load_labelled(groups, 96, extractor, Quiet(), threads=2, memory=memory)[0] for memory in (1e5, 1e9)
        )
        assert few.streams
        assert not all_.streams
        for i in range(len(groups)):
            np.testing.assert_array_equal(few.image(i), all_.image(i))
            np.testing.assert_array_equal(few.tree(i).children, all_.tree(i).children)
        shutil.rmtree(tmp_path / "images")
        gone = next(i for i in range(len(groups)) if i not in few._held)
        with pytest.raises(DataError, match=r"i\d\.png"):
            few.image(gone)
