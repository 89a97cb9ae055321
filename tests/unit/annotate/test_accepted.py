"""Which objects are learned from and which measure; what was refused; two models compared on the latter."""

import json

import cv2
import numpy as np
import pytest

from clickgrain.annotate.accepted import compare, learned_from, objects_in, objects_of
from clickgrain.annotate.find_same import AcceptRequest, Finder, Place
from clickgrain.annotate.jobs import Job
from clickgrain.annotate.learning import Learner, is_unfinished
from clickgrain.annotate.models import describe_model
from clickgrain.errors import DataError
from clickgrain.evaluation import Benchmark
from clickgrain.segmenter import Segmenter


@pytest.fixture
def paint(act):
    """Paint a dot of an image as an object of its own."""

    def make(image, x, y=20, radius=4):
        act(image, kind="object.add_steps", steps=[{"type": "brush", "points": [[x, y]], "radius": radius}])

    return make


@pytest.fixture
def objects(project):
    return lambda: objects_of(project.gallery, project.logs)


def test_every_third_object_measures_and_none_of_them_teaches(paint, objects):
    for image in (1, 2):
        for x in range(5, 60, 11):
            paint(image, x)
    found = objects()
    assert [target.id for target in found.targets][:2] == ["a1.png#1", "a1.png#2"]
    split = found.split()
    assert split.held_out.ids == ["a1.png#3", "a2.png#1", "a2.png#4"]
    assert len(split.objects) == 7
    assert not set(split.objects.ids) & set(split.held_out.ids)
    mask = next(iter(split.objects)).mask((48, 64))
    assert set(np.unique(mask)) == {0, 255}
    assert mask[20, 5] == 255


def test_with_many_images_a_third_of_them_measures_as_a_whole(tmp_path, project, act):
    many = [cv2.imread(str(project.gallery.folder / "a1.png"))] * 9
    for number, image in enumerate(many):
        assert cv2.imwrite(str(project.gallery.folder / f"more{number}.png"), image)
    project.gallery.rescan()
    for image in project.gallery.order:
        for x in (10, 40):
            act(image, kind="object.add_steps", steps=[{"type": "brush", "points": [[x, 20]], "radius": 4}])
    split = objects_of(project.gallery, project.logs).split()
    apart = {target.image_id for target in split.held_out}
    assert (len(apart), len(split.held_out)) == (4, 8)
    assert not apart & {target.image_id for target in split.objects}


def test_ten_objects_are_needed_and_those_of_whole_image_do_not_count(paint, objects, act):
    for x in range(5, 60, 7):
        paint(1, x)
    act(2, kind="partition", level=0.6)
    with pytest.raises(DataError, match="8 accepted objects are too few"):
        objects().split()


def test_objects_on_a_replaced_photo_are_left_out(paint, objects, photos):
    paint(1, 20)
    paint(2, 20)
    assert cv2.imwrite(str(photos / "a1.png"), np.zeros((48, 64, 3), np.uint8))
    assert [target.id for target in objects().targets] == ["a2.png#1"]


def test_refused_candidates_are_remembered_and_undo_forgets_them(act, project, cache, objects):
    act(1, kind="object.add_steps", steps=[{"type": "region", "x": 20, "y": 20, "level": 0.6}])
    finder = Finder(project, cache)
    job = Job("j1", "same")
    job.result = finder.work(1, 1, [2], 10)(job)
    job.state = "done"
    first = job.result["candidates"][0]
    answer = finder.accept(job, AcceptRequest(job="j1", items=(Place(image=2, node=first["node"]),), refuse=True))
    assert answer["accepted"][0]["objects"] == 1
    assert project.logs.history(2).document.objects == ()
    (refused,) = objects().refused
    assert refused.image_id == "a2.png"
    x0, y0, x1, y1 = first["bbox"]
    assert refused.mask((48, 64))[y0:y1, x0:x1].any()
    act(2, kind="undo")
    assert objects().refused == []
    act(2, kind="redo")
    project.logs.forget(2)  # read again from the file
    assert len(objects().refused) == 1


def test_the_project_s_model_stays_what_it_was_when_its_objects_are_read(paint, project, tiny):
    project.use_model(describe_model(str(tiny)))
    paint(1, 20)
    with objects_in(project.gallery.folder) as found:
        assert [target.id for target in found.targets] == ["a1.png#1"]
        assert found.targets[0].image().shape == (48, 64, 3)
    assert project.database.setting("model") == str(tiny)


def benchmark(count):
    """Red boxes, each in more noise than the one before, so that models need different clicks."""
    rng, pairs = np.random.default_rng(0), []
    for number in range(count):
        image = np.full((40, 60, 3), 90, np.uint8)
        mask = np.zeros((40, 60), bool)
        mask[8:30, 5 + number : 30 + number] = True
        image[mask] = (200, 60, 40)
        image = np.clip(image + rng.normal(0, 30 * number, image.shape), 0, 255).astype(np.uint8)
        pairs.append((image, mask))
    return Benchmark.of(pairs)


def test_the_same_model_twice_differs_by_nothing_and_certainly():
    tree = Segmenter.load("tree")
    report = compare(tree, tree, benchmark(5))
    assert (report["objects"], report["images"], report["over"]) == (5, 5, "images")
    assert report["old_clicks"] == report["new_clicks"]
    assert (report["difference"], report["interval"]) == (0, [0, 0])


def test_two_models_are_compared_object_by_object(tiny):
    models = Segmenter.load("tree"), Segmenter.load(str(tiny), device="cpu")
    report = compare(*models, benchmark(5))
    change = [row["new"] - row["old"] for row in report["rows"]]
    assert len(set(change)) > 1
    assert report["difference"] == pytest.approx(np.mean(change), abs=0.01)
    drawn = np.random.default_rng(1).choice(change, (4000, 5)).mean(1)  # one object an image
    assert report["interval"] == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.3)
    assert report["old_interval"][0] <= report["old_clicks"] <= report["old_interval"][1]


def test_without_an_object_to_compare_on_there_are_no_figures(photos):
    report = compare(Segmenter.load("tree"), Segmenter.load("tree"), Benchmark("none", []))
    assert (report["objects"], report["old_clicks"], report["interval"]) == (0, None, None)


def test_neither_model_is_measured_on_what_it_was_trained_on(paint, project, tiny):
    for image in (1, 2, 3):
        paint(image, 20, radius=8)
        paint(image, 45, radius=8)
    (tiny / "run.json").write_text(json.dumps({"objects": ["a1.png#1", "a1.png#2", "a2.png#1"]}))
    new = describe_model(str(tiny))
    assert learned_from(new) == {"a1.png#1", "a1.png#2", "a2.png#1"}
    report = Learner(project).compare(Job("j1", "learn"), project.model, new)
    assert [row["id"] for row in report["rows"]] == ["a2.png#2", "sub/a10.png#1", "sub/a10.png#2"]
    assert report["taught"] == ["a1.png#1", "a1.png#2", "a2.png#1"]
    assert report["over"] == "objects"  # of two images


def test_a_stopped_run_goes_on_only_with_the_same_objects(tmp_path):
    (tmp_path / "run.json").write_text(json.dumps({"asked": {"minutes": 5}, "steps": 3, "labels": "ab"}))
    assert is_unfinished(tmp_path, 5, "ab")
    assert not is_unfinished(tmp_path, 5, "cd")
    assert not is_unfinished(tmp_path, 5)


def test_the_page_is_told_what_there_is_to_learn_from(client, paint):
    paint(1, 20)
    assert client.get("/api/learn").json() == {"objects": 1, "refused": 0, "enough": 10, "stopped": None}
