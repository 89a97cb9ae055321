"""Actions on a project: what they make of documents, who may make them, and what is kept."""

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from clickgrain.annotate import actions
from clickgrain.annotate.http_errors import RequestError
from clickgrain.annotate.project import Project
from clickgrain.annotate.requests import IMAGE_REQUEST, Posted
from clickgrain.errors import DataError, ImageError, WeightsError


@pytest.fixture
def document(project):
    return lambda image=1: project.logs.history(image).document


@pytest.fixture
def mask(project, document):
    return lambda number, image=1: project.logs.mask(document(image).find(number).mask)


@pytest.fixture
def add(act, click):
    """A new object at (x, y); its number."""
    return lambda x=20, y=20, **more: act(kind="object.add_steps", steps=[click(x, y)], **more).touched


def test_a_click_makes_an_object_and_the_image_is_being_worked_on(add, document, mask, project):
    assert add() == 1
    (item,) = document().objects
    assert (item.source, item.model, document().status) == ("prompt", project.model.hash, "doing")
    assert mask(1)[20, 20]
    assert item.area == mask(1).sum()


def test_everything_is_there_after_opening_again(add, act, document, photos, project):
    add()
    act(kind="object.edit", object=1, locked=True, colour="#123456")
    kept = document()
    again = Project(photos, model="tree")
    assert again.logs.history(1).document == kept
    assert again.logs.history(1).next_to("undo") is not None
    again.close()


def test_objects_are_edited_only_in_what_was_sent(add, act, document):
    add(label=3)
    act(kind="object.edit", object=1, hidden=True)
    item = document().find(1)
    assert (item.hidden, item.label, item.locked) == (True, 3, False)
    act(kind="object.edit", object=1, label=None)
    assert document().find(1).label is None
    assert document().find(1).hidden


def test_a_locked_object_is_left_alone(add, act, click):
    add()
    add(50, 36)
    act(kind="object.edit", object=1, locked=True)
    for action in (
        {"kind": "object.add_steps", "object": 1, "steps": [click(1, 1)]},
        {"kind": "object.set_steps", "object": 1, "steps": [click(1, 1)]},
        {"kind": "object.delete", "objects": [1]},
        {"kind": "object.merge", "objects": [2, 1]},
        {"kind": "object.split", "object": 1},
        {"kind": "object.edit", "object": 1, "label": 5},
    ):
        with pytest.raises(RequestError, match="locked"):
            act(**action)
    act(kind="object.edit", object=1, locked=False)
    act(kind="object.delete", objects=[1])


def test_clear_leaves_the_locked(add, act, document):
    for x, y in ((20, 20), (50, 36)):
        add(x, y)
    act(kind="object.edit", object=1, locked=True)
    act(kind="clear")
    assert [item.id for item in document().objects] == [1]


def test_numbers_are_never_used_twice(add, act):
    assert add() == 1
    act(kind="undo")
    assert add() == 2
    act(kind="object.delete", objects=[2])
    assert add() == 3


def test_the_order_can_be_changed(add, act, document):
    for _ in range(3):
        add()
    act(kind="object.move", object=3, to=0)
    assert [item.id for item in document().objects] == [3, 1, 2]
    act(kind="object.move", object=3, to=99)
    assert [item.id for item in document().objects] == [1, 2, 3]


def test_merging_joins_masks_into_the_first(add, act, document, mask):
    add()
    add(50, 36)
    both = mask(1) | mask(2)
    act(kind="object.merge", objects=[1, 2])
    assert [item.id for item in document().objects] == [1]
    assert (mask(1) == both).all()
    assert document().find(1).source == "merge"


def test_splitting_puts_the_part_above(act, document, mask):
    act(kind="object.add_steps", steps=[{"type": "region", "x": 20, "y": 20, "level": 1.0}])
    whole = mask(1)
    act(kind="object.split", object=1)
    assert [item.id for item in document().objects] == [1, 2]
    assert ((mask(1) | mask(2)) == whole).all()
    assert not (mask(1) & mask(2)).any()


def test_a_pixel_cannot_be_split(act):
    act(kind="object.add_steps", steps=[{"type": "brush", "points": [[20, 20]], "radius": 0.1}])
    with pytest.raises(RequestError, match="too small to be split"):
        act(kind="object.split", object=1)


def test_a_partition_fills_what_is_free(add, act, document, mask):
    add()
    first = mask(1)
    act(kind="partition", level=0.7)
    together = np.zeros(first.shape, int)
    for item in document().objects:
        together += mask(item.id)
    assert (together == 1).all()
    assert (mask(1) == first).all()
    act(kind="undo")
    assert [item.id for item in document().objects] == [1]


def test_a_node_becomes_an_object(act, document, mask, project):
    scene = project.scene(1)
    node = int(scene.tree.node_at(20, 20, 0.6))
    act(kind="object.add_nodes", nodes=[(node, 0.5)], label=2)
    assert document().find(1).source == "same"
    assert mask(1).any()
    with pytest.raises(RequestError, match="no node"):
        act(kind="object.add_nodes", nodes=[(scene.tree.n_nodes, 0.5)])
    with pytest.raises(RequestError, match="other objects lie there"):
        act(kind="object.add_nodes", nodes=[(node, 0.5)])
    act(kind="object.add_nodes", nodes=[(node, 0.5), (int(scene.tree.node_at(50, 40, 0.6)), 0.4)])
    assert len(document().objects) == 2  # what is covered by now does not stop the others


def test_a_write_that_has_not_seen_everything_is_told_what_it_missed(project, add, click):
    add()
    late = IMAGE_REQUEST.validate_python({"kind": "status", "status": "done"})
    with pytest.raises(RequestError) as caught:
        actions.act(project, 1, Posted(seq=0, client="other"), late)
    assert caught.value.status == 409
    missed = project.logs.missed(1, 0)
    assert [action["kind"] for action in missed["actions"]] == ["object.add_steps"]
    assert missed["document"]["seq"] == 1
    assert project.logs.history(1).seq == 1


def test_two_programs_on_one_file(project, photos, add, act, document):
    add()
    other = Project(photos, model="tree")
    actions.act(other, 1, Posted(seq=1), IMAGE_REQUEST.validate_python({"kind": "status", "status": "done"}))
    other.close()
    with pytest.raises(RequestError, match="another tab"):
        actions.act(project, 1, Posted(seq=1), IMAGE_REQUEST.validate_python({"kind": "clear"}))
    assert document().status == "done"
    act(kind="clear")
    assert document().objects == ()


def test_few_histories_in_memory_change_nothing(project, add, act, document, monkeypatch):
    monkeypatch.setattr("clickgrain.annotate.database.KEPT_HISTORIES", 1)
    for _ in range(2):
        add()
        act(2, kind="status", status="doing")
        act(2, kind="status", status="done")
    assert len(document().objects) == 2
    assert (project.logs.history(1).seq, project.logs.history(2).seq) == (2, 4)


def test_a_given_mask_cannot_be_smuggled_in(add, act):
    add()
    with pytest.raises(RequestError, match="only be kept"):
        act(kind="object.add_steps", object=1, steps=[{"type": "mask", "mask": "0" * 20}])


def test_a_refused_action_leaves_no_trace(project, add, act):
    add()
    with pytest.raises(RequestError, match="no object 9"):
        act(kind="object.delete", objects=[9])
    with pytest.raises(RequestError, match="nothing to redo"):
        act(kind="redo")
    assert project.logs.history(1).seq == 1


def test_seconds_add_up_per_object(act, document, click):
    act(kind="object.add_steps", steps=[click(20, 20)], active=2.5)
    act(kind="object.add_steps", object=1, steps=[click(50, 36)], active=1.5)
    assert document().find(1).seconds == 4.0


def test_labels_and_their_undo(label):
    labels = label(kind="label.add", name="cat")
    assert [(one.id, one.name) for one in labels.labels] == [(1, "cat")]
    assert label(kind="label.edit", label=1, colour="#000000").labels[0].colour == "#000000"
    with pytest.raises(RequestError, match="already"):
        label(kind="label.add", name="cat")
    assert label(kind="label.delete", label=1).labels == ()
    assert label(kind="undo").labels[0].colour == "#000000"
    assert label(kind="label.add", name="dog").labels[1].id == 2
    assert label(kind="overlap", allow=True).overlap
    with pytest.raises(RequestError, match="no label 9"):
        label(kind="label.edit", label=9, name="x")


def test_images_come_in_natural_order_with_names_below_the_folder(project):
    assert [project.gallery.name(image) for image in project.gallery.order] == ["a1.png", "a2.png", "sub/a10.png"]
    assert project.gallery.neighbours(2) == (1, 3)
    assert project.gallery.find("sub\\a10.png") == project.gallery.find("a10.png") == 3
    assert project.gallery.find("../photos/a1.png") in (None, 1)


def test_new_and_missing_files(project, photos, act):
    act(2, kind="status", status="done")
    (photos / "a2.png").rename(photos / "a3.png")
    assert project.gallery.rescan() == (1, 1)
    assert project.gallery.order == [1, 4, 3, 2]
    assert project.logs.history(2).document.status == "done"
    with pytest.raises(ImageError, match="put the file back"):
        project.gallery.load(2)


def test_a_file_of_another_size_is_not_mistaken_for_the_old_one(project, photos, add):
    add()
    (photos / "a1.png").write_bytes((photos / "a2.png").read_bytes())
    project.gallery.load(1)
    cv2.imwrite(str(photos / "a1.png"), np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(ImageError, match="was 64 x 48"):
        project.gallery.load(1)


def test_large_images_are_worked_on_smaller(photos, monkeypatch):
    monkeypatch.setattr("clickgrain.annotate.gallery.WORK_SIDE", 32)
    project = Project(photos, model="tree")
    assert project.gallery.sizes(1) == ((24, 32), (48, 64))
    assert project.scene(1).size == (24, 32)
    project.close()


def test_a_project_elsewhere_for_a_folder_that_is_not_written_to(photos, tmp_path):
    before = sorted(photos.rglob("*"))
    project = Project(photos, tmp_path / "mine.db", model="tree")
    actions.act(project, 1, Posted(seq=0), IMAGE_REQUEST.validate_python({"kind": "status", "status": "done"}))
    project.close()
    assert sorted(photos.rglob("*")) == before
    assert (tmp_path / "mine.db").exists()


def test_a_folder_without_images_gets_no_project_file(tmp_path):
    with pytest.raises(DataError, match="no images"):
        Project(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_not_there(photos):
    with pytest.raises(WeightsError):
        Project(photos, model="no-such-folder")


def test_a_photo_that_was_read_waits_for_no_other_that_is_being_read(project, monkeypatch):
    from clickgrain.annotate import gallery

    first = project.gallery.load(1).pixels
    real, inside, gate = gallery.read_at_work, threading.Event(), threading.Event()

    def slow(path, notes=None):
        inside.set()
        assert gate.wait(20)
        return real(path, notes)

    monkeypatch.setattr(gallery, "read_at_work", slow)
    with ThreadPoolExecutor(2) as pool:
        second = [pool.submit(project.gallery.load, 2) for _ in range(2)]
        assert inside.wait(20)
        assert project.gallery.load(1).pixels is first
        gate.set()
        assert second[0].result(20) is second[1].result(20)


def test_an_object_left_without_a_pixel_is_removed_and_comes_back_by_undo(act, click, project):
    act(kind="object.add_steps", steps=[click(20, 20)])
    made = project.logs.history(1).document
    erased = {"type": "brush", "points": [[20, 20]], "radius": 60, "label": 0}
    done = act(kind="object.add_steps", object=1, steps=[erased])
    assert done.removed == 1
    assert project.logs.history(1).document.objects == ()
    act(kind="undo")
    assert project.logs.history(1).document == made
    assert act(kind="object.set_steps", object=1, steps=[{"type": "level", "level": 0.5}]).removed == 1


def test_a_first_step_that_finds_nothing_makes_no_object(act, click, project):
    with pytest.raises(RequestError, match="nothing was found there"):
        act(kind="object.add_steps", steps=[click(20, 20, 0)])
    assert project.logs.history(1).seq == 0


def test_a_copy_that_no_click_gives_keeps_its_pixels(act, click, document, mask, project):
    act(
        1,
        kind="object.add_steps",
        steps=[{"type": "brush", "points": [[3, 44], [60, 3]], "radius": 1.5, "label": 1}],
    )
    act(2, kind="object.copy", source=1, objects=[1])
    (item,) = project.logs.history(2).document.objects
    assert (item.source, item.steps[0].type) == ("copy", "mask")
    assert (project.logs.mask(item.mask) == mask(1)).all()
    with pytest.raises(RequestError, match="no object 7 to copy"):
        act(2, kind="object.copy", source=1, objects=[7])


def test_a_copy_follows_what_moved_by_more_than_its_radius(photos, project, act, click, iou):
    y, x = np.mgrid[:96, :128]
    for name, (across, down) in {"m1.png": (40, 36), "m2.png": (62, 50)}.items():
        image = 120 + np.random.default_rng(0).normal(0, 3, (96, 128, 3))
        image[np.hypot(x - across, y - down) < 14] = (60, 50, 200)
        assert cv2.imwrite(str(photos / name), np.clip(image, 0, 255).astype(np.uint8))
    project.gallery.rescan()
    first, second = (project.gallery.find(name) for name in ("m1.png", "m2.png"))
    act(first, kind="object.add_steps", steps=[click(40, 36)])
    act(second, kind="object.copy", source=first, objects=[1])
    (item,) = project.logs.history(second).document.objects
    assert item.steps[0].type == "click"
    assert iou(project.logs.mask(item.mask), np.hypot(x - 62, y - 50) < 14) > 0.9


def test_an_action_is_taken_back_by_its_number_whatever_was_done_and_undone_since(project, act):
    def undo(kind, of):
        return actions.act(project, 1, Posted(seq=0), IMAGE_REQUEST.validate_python({"kind": kind, "of": of}))

    for x in (10, 50):
        act(kind="object.add_steps", steps=[{"type": "brush", "points": [[x, 20]], "radius": 3}])
    with pytest.raises(RequestError, match="another tab"):
        undo("undo", 1)  # not the last one
    act(kind="undo")
    assert undo("undo", 1).seq == 4
    assert project.logs.history(1).document.objects == ()
    with pytest.raises(RequestError, match="another tab"):
        undo("redo", 2)
    undo("redo", 1)
    project.logs.forget(1)  # read again from the file
    undo("redo", 2)
    assert len(project.logs.history(1).document.objects) == 2
