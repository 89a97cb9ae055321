"""Clicking in napari's layers, on its viewer model, with its own keys and events.

Without napari, which with Qt takes 1.4 GB, a stand-in shows that the session does its part, and the widget is left
out. `make real-tools TOOLS=napari` installs it aside and runs these tests with it.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from skimage import data

from clickgrain.annotate.usual_level import LAST, LEVELS
from clickgrain.errors import ConfigError, PromptError
from clickgrain.segmenter import Segmenter
from tests.unit.test_tracking import frames, iou

try:
    from napari.components import ViewerModel

    from clickgrain.napari.session import ClickSession
except ImportError:
    from tests.unit.napari.stand_in import ViewerModel, import_session

    ClickSession = import_session()


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter.load("default")


@pytest.fixture
def coffee(segmenter):
    viewer = ViewerModel()
    image = viewer.add_image(data.coffee(), name="coffee", rgb=True)
    return ClickSession(viewer, image, segmenter)


@pytest.fixture
def stack(segmenter):
    """Ten gray slices of a moving square, 16 bits, and its masks."""
    drawn = list(frames(10))
    values = np.stack([image[..., 0].astype(np.uint16) * 200 for image, _ in drawn])
    viewer = ViewerModel()
    session = ClickSession(viewer, viewer.add_image(values, name="stack"), segmenter)
    viewer.dims.set_current_step(0, 0)
    return session, [mask for _, mask in drawn]


def test_clicks_on_an_enlarged_image_begin_from_what_is_seen(coffee, segmenter):
    encoded = segmenter.encode(data.coffee())
    coffee.image.corner_pixels = np.array([[180, 390], [319, 569]])  # first and last (row, column)
    view = [390, 180, 570, 320]
    coffee.clicks.add([[250, 480]])
    first = segmenter.predict([[480, 250]], [1], encoded=encoded, view=view)
    assert (first.binary != segmenter.predict([[480, 250]], [1], encoded=encoded).binary).any(), (
        "else it asks nothing"
    )
    np.testing.assert_array_equal(coffee.current.data, first.binary)
    coffee.image.corner_pixels = np.array([[0, 0], [399, 599]])  # it is the first click that counts
    coffee.clicks.add([[300, 430]])
    both = segmenter.predict([[480, 250], [430, 300]], [1, 1], previous=first, encoded=encoded, view=view)
    np.testing.assert_array_equal(coffee.current.data, both.binary)
    coffee.commit()
    coffee.clicks.add([[250, 480]])
    whole = segmenter.predict([[480, 250]], [1], encoded=encoded)
    np.testing.assert_array_equal(coffee.current.data, whole.binary)


def test_a_click_is_answered_and_a_negative_one_corrects(coffee):
    coffee.clicks.add([[200, 300]])  # (row, column), in the cup
    first = coffee.current.data.copy()
    assert first[200, 300] == 1
    y, x = np.argwhere(first > 0)[-1]
    coffee.toggle()
    assert not coffee.positive
    coffee.clicks.add([[y, x]])
    assert coffee.current.data[y, x] == 0
    assert coffee.current.data[200, 300] == 1


def test_committed_objects_are_numbered_and_the_next_one_begins_empty(coffee):
    coffee.clicks.add([[200, 300]])
    mask = coffee.current.data > 0
    assert coffee.commit() == 1
    assert (coffee.objects.data == mask).all()
    assert len(coffee.clicks.data) == 0
    assert not coffee.current.data.any()
    assert coffee.commit() == 0
    coffee.clicks.add([[20, 20]])
    assert coffee.commit() == 2
    assert set(np.unique(coffee.objects.data)) == {0, 1, 2}


def test_a_box_and_a_stroke_are_prompts(coffee):
    assert not coffee.segment()  # nothing is drawn
    coffee.box.add_rectangles(np.array([[60, 150], [330, 480]]))
    assert coffee.segment()
    inside = coffee.current.data[60:330, 150:480].sum()
    assert inside > 0.95 * coffee.current.data.sum() > 0
    coffee.clear()
    coffee.strokes.add_paths(np.array([[150.0, 250.0], [160.0, 330.0]]))
    assert coffee.segment()
    assert coffee.current.data[155, 290] == 1


def test_what_is_drawn_across_the_edge_counts_up_to_it(coffee):
    """In napari the first pixel reaches from -0.5 to 0.5."""
    coffee.clicks.add([[-0.4, 300], [200, -0.2]])
    assert coffee.current.data[0, 300] == coffee.current.data[200, 0] == 1
    coffee.clear()
    coffee.box.add_rectangles(np.array([[60, 150], [9000, 480]]))
    assert coffee.segment()
    coffee.clear()
    coffee.strokes.add_paths(np.array([[150.0, 250.0], [150.0, -40.0]]))
    assert coffee.segment()
    assert coffee.current.data[150, 0] == 1


def test_a_level_makes_it_finer_or_coarser(coffee):
    areas = []
    for level in (0.3, 0.95):
        coffee.level = level
        coffee.clear()
        coffee.clicks.add([[200, 300]])
        areas.append(int(coffee.current.data.sum()))
    assert areas[0] < areas[1]


def test_first_clicks_are_answered_at_the_level_of_committed_objects(coffee, segmenter, monkeypatch):
    asked, predict = [], segmenter.predict

    def spy(points, labels, box=None, scribbles=None, level=None, previous=None, *, encoded=None, view=None):
        asked.append((len(points), level, previous is not None))
        return predict(points, labels, box, scribbles, level, previous, encoded=encoded, view=view)

    monkeypatch.setattr(segmenter, "predict", spy)
    coffee.clicks.add([[200, 300]])
    mask = coffee.current.data > 0
    assert coffee.commit() == 1
    coffee.learned.result(timeout=60)
    assert asked == [(1, None, False)] + [(1, level, False) for level in (None, *LEVELS)]
    for _ in range(LAST):  # what nothing but this level gives
        coffee.usual.learn(None, mask, lambda level: mask if level == 0.45 else ~mask)
    asked.clear()
    coffee.clicks.add([[200, 300]])
    coffee.clicks.add([[210, 310]])
    coffee.segment()
    assert asked == [(1, 0.45, False), (2, None, True)]
    coffee.clear()
    asked.clear()
    coffee.level = 0.7
    coffee.clicks.add([[200, 300]])
    assert asked == [(1, 0.7, False)]


def test_the_same_click_on_another_slice_is_answered_there(stack):
    session, masks = stack
    for _ in range(LAST):
        session.usual.learn(None, masks[0], lambda level: masks[0] if level == 0.45 else ~masks[0])
    y, x = np.argwhere(masks[0] & masks[1]).mean(0).round()
    session.clicks.add([[0, y, x]])
    session.next_slice()
    session.clicks.add([[1, y, x]])
    first, second = session.current.data[:2] > 0
    assert iou(first, masks[0]) > 0.5
    assert iou(second, masks[1]) > 0.5
    assert (first != second).any()


def test_slices_are_clicked_for_themselves(stack):
    session, masks = stack
    session.clicks.add([[0, 60, 38]])
    assert iou(session.current.data[0] > 0, masks[0]) > 0.7
    assert not session.current.data[1:].any()
    assert session.next_slice()
    assert session.slice == 1
    assert not session.segment()  # the click was on the slice before
    session.viewer.dims.set_current_step(0, 9)
    assert not session.next_slice()


def test_an_object_is_carried_through_the_stack_and_committed_as_one(stack):
    session, masks = stack
    session.current.data[0] = masks[0]
    steps = list(session.carry_on())
    for number, tracked in steps:
        session.take(number, tracked)
    assert [number for number, _ in steps] == list(range(1, 10))
    assert all(iou(session.current.data[i] > 0, masks[i]) > 0.7 for i in range(10))
    assert session.slice == 9
    assert session.commit() == 1
    assert session.objects.data.any((1, 2)).all()


def test_carrying_ends_where_the_object_is_lost(stack):
    session, masks = stack
    session.image.data[4] = 0
    session.current.data[0] = masks[0]
    for number, tracked in session.carry_on():
        session.take(number, tracked)
    assert number == 4
    assert session.slice == 4
    assert session.current.data[:4].any((1, 2)).all()
    assert not session.current.data[4:].any()


def test_what_cannot_be_answered_is_said(stack, segmenter):
    session, _ = stack
    with pytest.raises(PromptError, match="nothing to carry"):
        next(session.carry_on())
    viewer = ViewerModel()
    with pytest.raises(ConfigError, match="4 axes"):
        ClickSession(viewer, viewer.add_image(np.zeros((2, 3, 4, 5))), segmenter)


def test_of_several_resolutions_the_first_is_clicked(segmenter):
    viewer = ViewerModel()
    photo = data.coffee()
    session = ClickSession(viewer, viewer.add_image([photo, photo[::2, ::2]], name="pyramid", rgb=True), segmenter)
    session.clicks.add([[200, 300]])
    assert session.current.data.shape == photo.shape[:2]
    assert session.current.data[200, 300] == 1


def test_an_image_that_is_too_large_is_refused_before_layers_are_made(segmenter):
    viewer = ViewerModel()
    huge = np.broadcast_to(np.uint8(0), (60_000, 60_000))  # takes no memory
    image = SimpleNamespace(data=huge, name="slide", rgb=False, multiscale=False)
    with pytest.raises(ConfigError, match="slide has 60000 x 60000 pixels, over 200 megapixels"):
        ClickSession(viewer, image, segmenter)


def test_the_manifest_names_what_is_there():
    npe2 = pytest.importorskip("npe2")
    from importlib.resources import files

    manifest = npe2.PluginManifest.from_file(str(files("clickgrain.napari") / "napari.yaml"))
    module, name = manifest.contributions.commands[0].python_name.split(":")
    assert hasattr(pytest.importorskip(module), name)


def test_keys_and_buttons_of_the_widget_drive_the_session():
    pytest.importorskip("qtpy")
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance() or QApplication([])
    from clickgrain.napari.widget import make_widget

    viewer = ViewerModel()
    image = viewer.add_image(data.coffee(), name="coffee", rgb=True)
    widget = make_widget(viewer)
    widget.image.choices = [image]
    widget.image.value = image
    widget.start()
    widget.session.clicks.add([[200, 300]])
    before = int(widget.session.current.data.sum())
    widget.fixed.value, widget.level.value = True, 0.3
    assert 0 < widget.session.current.data.sum() != before
    (commit,) = [act for key, act in viewer.keymap.items() if str(key) == "C"]
    commit(viewer)
    assert widget.session.objects.data.max() == 1
    assert application is not None
