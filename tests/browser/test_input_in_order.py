"""What the user does counts in the order in which it was done, whatever the latency and the focus."""

import os

import pytest

from tests.browser.conftest import Server

MODULE = """
import numpy as np

class Odd:
    '''A disk around the first click on the left half, nothing on the right. After a negative click on the disk: all
    but a spot; after one elsewhere: nothing.'''
    def set_image(self, image):
        self.y, self.x = np.mgrid[:image.shape[0], :image.shape[1]]
    def predict(self, points, labels, previous=None):
        from clickgrain.types import Mask
        (x, y), (last_x, last_y) = points[0], points[-1]
        found = (np.hypot(self.x - x, self.y - y) < 20) & (x < self.x.shape[1] / 2)
        if not labels[-1]:
            spot = np.hypot(self.x - last_x, self.y - last_y) < 5
            found = ~spot if found[int(last_y), int(last_x)] else np.zeros_like(spot)
        return Mask(found.astype(np.float32))
"""


@pytest.fixture(scope="module")
def server(browser, photos):
    """A server for these stories, each on an image that no other one opens."""
    server = Server(photos(30))
    yield server
    server.kill()


def slow(page, milliseconds=1200):
    """Let every answer to an action come late."""
    page.page.evaluate(
        """(milliseconds) => {
            const real = window.fetch;
            window.fetch = async (path, options) => {
                if (options?.method === "POST") await new Promise((done) => setTimeout(done, milliseconds));
                return real(path, options);
            };
        }""",
        milliseconds,
    )


def settled(page):
    """Wait until nothing that was done waits for its turn."""
    page.until("!clickgrain.annotator.busy && !clickgrain.store.state.image.queue.line.length")
    page.frame()
    return page.objects()


def state(page, key):
    return page.page.evaluate(f"clickgrain.store.state.{key}")


def test_enter_after_a_mouse_click_on_a_button_or_chip_begins_the_next_object(server, tab):
    page = tab().open(server.address, "photo00")
    page.page.evaluate("clickgrain.annotator.changeProject({ kind: 'label.add', name: 'disk', colour: '#ff0000' })")
    page.take(44, 56)
    page.page.locator(".label", has_text="disk").click()
    settled(page)
    page.until("clickgrain.store.state.image.document.objects[0].label === 1")
    page.press("Enter", wait=False)
    page.take(112, 56, notches=0)
    assert [len(each["steps"]) for each in page.objects()] == [1, 1]
    page.page.locator(".view summary").click()
    for name in ("Hide disk", "Click tool (C)", "Objects may overlap"):
        page.page.get_by_label(name).first.click()
        assert page.page.evaluate("document.activeElement.id") == "stage", name
    settled(page)


def test_enter_before_the_answer_counts_after_the_click(server, tab):
    page = tab().open(server.address, "photo01")
    page.move(44, 56)
    slow(page)
    page.page.mouse.click(*page.screen(44, 56))
    page.page.keyboard.press("Enter")
    page.page.mouse.click(*page.screen(112, 56))
    assert page.objects() == []
    assert [len(each["steps"]) for each in settled(page)] == [1, 1]
    assert state(page, "active") == 2


def test_the_keys_of_a_whole_object_pressed_ahead(server, tab):
    page = tab().open(server.address, "photo02")
    page.move(44, 56)
    slow(page, 800)
    page.page.mouse.click(*page.screen(44, 56))
    page.page.keyboard.press("l")
    page.page.keyboard.type("ahead")
    page.page.keyboard.press("Enter")
    page.page.keyboard.press("Enter")
    page.page.mouse.click(*page.screen(112, 56))
    page.page.keyboard.press("Delete")
    page.page.keyboard.press("Control+z")
    first, second = settled(page)
    assert first["label"] is not None
    assert (first["id"], second["id"]) == (1, 2)


def test_a_level_just_turned_to_is_taken_before_enter(server, tab):
    page = tab().open(server.address, "photo03")
    page.move(52, 56)
    part = page.click(52, 56)[0]
    page.wheel(1)
    page.page.keyboard.press("Enter")
    (whole,) = settled(page)
    assert whole["area"] > part["area"]
    assert state(page, "active") is None


def test_a_double_click_makes_one_object_of_one_click(server, tab):
    page = tab().open(server.address, "photo04")
    page.move(44, 56)
    slow(page, 600)
    page.page.mouse.dblclick(*page.screen(44, 56))
    (made,) = settled(page)
    assert len(made["steps"]) == 1


def test_a_key_between_two_fast_clicks_makes_them_two(server, tab):
    page = tab().open(server.address, "photo18")
    made = page.click(44, 56)[-1]
    page.page.keyboard.press("Enter")
    page.page.mouse.click(*page.screen(44, 56))  # takes what is there
    page.until(f"clickgrain.store.state.active === {made['id']}", seconds=20)


def test_a_second_click_before_the_first_is_answered_corrects(server, tab):
    page = tab().open(server.address, "photo05")
    page.move(44, 56)
    slow(page, 600)
    page.page.mouse.click(*page.screen(44, 56))
    page.page.mouse.click(*page.screen(112, 56))
    (made,) = settled(page)
    assert [step["type"] for step in made["steps"]] == ["region", "click"]


def test_a_click_that_slips_is_a_click(server, tab):
    page = tab().open(server.address, "photo06")
    page.move(44, 56)
    x, y = page.screen(44, 56)
    page.page.mouse.move(x, y)
    page.page.mouse.down()
    page.page.mouse.move(x + 7, y + 5, steps=3)
    page.page.mouse.up()
    (made,) = settled(page)
    assert [step["type"] for step in made["steps"]] == ["region"]
    assert (made["steps"][0]["x"], made["steps"][0]["y"]) == (44, 56)


def test_erasing_everything_removes_the_object_and_says_so(server, tab, expect):
    page = tab().open(server.address, "photo07")
    page.take(44, 56)
    page.page.evaluate("clickgrain.store.set({ radius: 120 })")
    page.press("e", wait=False)
    seq = page.seq()
    page.drag((44, 56), (60, 60))
    assert page.written(seq) == []
    expect(page.page.locator("#hint")).to_contain_text("has no pixels left and was removed")
    assert len(page.press("Control+z")) == 1


@pytest.fixture
def odd(own_server, tmp_path):
    """A server with a model that answers with nothing, or with far too much."""
    (tmp_path / "odd_model.py").write_text(MODULE)
    path = f"{os.environ.get('PYTHONPATH', '')}{os.pathsep}{tmp_path}"
    return own_server(1, environment={"PYTHONPATH": path}, model="python:odd_model:Odd")


def test_an_empty_answer_leaves_no_empty_object_and_says_so(odd, tab, expect):
    page = tab(auto=True, forgive=True).open(odd.address)
    page.move(120, 20)
    page.page.mouse.click(*page.screen(120, 20))
    expect(page.page.locator("#hint")).to_contain_text("nothing was found there, so no object was made")
    assert settled(page) == []
    assert len(page.click(44, 56)) == 1
    assert page.click(120, 100, button="right") == []
    expect(page.page.locator("#hint")).to_contain_text("has no pixels left and was removed")
    assert len(page.press("Control+z")) == 1


def test_a_negative_click_never_grows_a_mask_whatever_the_model_says(odd, tab):
    page = tab(auto=True).open(odd.address)
    (made,) = page.click(44, 56)
    (less,) = page.click(50, 60, button="right")
    assert 0 < less["area"] < made["area"]
    assert less["bbox"] == made["bbox"]
    assert page.owner(50, 60) is None
    assert page.owner(120, 20) is None


def test_the_wheel_sizes_the_brush_and_leaves_the_object_alone(server, tab):
    page = tab().open(server.address, "photo08")
    made = page.take(44, 56)
    page.press("b", wait=False)
    radius = state(page, "radius")
    page.wheel(2)
    assert state(page, "radius") > radius
    page.wheel(-4)
    assert state(page, "radius") < radius
    scale = page.page.evaluate("clickgrain.stage.view.scale")
    page.press("x", wait=False)
    page.wheel(2)  # a tool without a size: the image comes nearer
    assert page.page.evaluate("clickgrain.stage.view.scale") > scale
    page.page.wait_for_timeout(600)
    assert settled(page) == [made]


def test_two_fingers_on_a_trackpad_pan_and_a_pinch_zooms(server, tab):
    page = tab().open(server.address, "photo09")
    page.move(44, 56)
    before, level = page.page.evaluate("clickgrain.stage.view"), state(page, "level")
    for _ in range(5):
        page.page.mouse.wheel(7, 12)
    page.until(f"clickgrain.stage.view.y < {before['y']} - 40 && clickgrain.stage.view.x < {before['x']} - 20")
    assert page.page.evaluate("clickgrain.stage.view.scale") == before["scale"]
    assert state(page, "level") == level
    page.page.keyboard.down("Control")
    page.page.mouse.wheel(0, -20)
    page.page.keyboard.up("Control")
    page.until(f"clickgrain.stage.view.scale > {before['scale']}")


def test_in_auto_the_wheel_does_what_it_shows(server, tab):
    page = tab().open(server.address, "photo10")
    page.page.get_by_label("Auto").check()
    page.move(44, 56)
    page.wheel(1)
    seen = page.shown()
    assert seen
    (made,) = page.click(44, 56)
    assert made["area"] == seen
    assert made["steps"][0]["type"] == "region"
    scale = page.page.evaluate("clickgrain.stage.view.scale")
    page.wheel(1)  # an object is in hand, and no region is shown
    page.until(f"clickgrain.stage.view.scale > {scale}")
    page.page.wait_for_timeout(600)
    assert settled(page) == [made]
    page.press("Enter", wait=False)
    page.page.keyboard.press("0")
    page.move(112, 56)
    page.wheel(1)
    assert page.shown()
    page.move(10, 100)  # away from the region: the model chooses again
    assert page.shown() == 0


def test_the_label_dialog_begins_with_the_label_that_there_is(server, tab):
    page = tab().open(server.address, "photo11")
    for name in ("apple", "pear"):
        page.page.evaluate(f"clickgrain.annotator.changeProject({{ kind: 'label.add', name: '{name}' }})")
    page.take(44, 56)
    page.press("l", wait=False)
    page.page.keyboard.type("pear")
    pear = page.press("Enter")[0]["label"]
    page.press("l", wait=False)
    assert page.page.locator(".option[aria-selected=true]").text_content() == "pear"
    page.page.keyboard.press("Enter")
    assert settled(page)[0]["label"] == pear


def test_a_double_click_on_a_label_renames_it_and_relabels_nothing(server, tab, expect):
    page = tab().open(server.address, "photo12")
    page.page.evaluate("clickgrain.annotator.changeProject({ kind: 'label.add', name: 'bolt' })")
    made = page.take(44, 56)
    page.page.locator(".label", has_text="bolt").dblclick()
    expect(page.page.get_by_label("Name of the label")).to_have_value("bolt")
    page.page.keyboard.press("Escape")
    assert settled(page) == [made]


def test_deleting_a_label_asks_with_a_count_and_is_undone_by_ctrl_z(server, tab, expect):
    page = tab().open(server.address, "photo13")
    page.page.evaluate("clickgrain.annotator.changeProject({ kind: 'label.add', name: 'screw' })")
    page.take(44, 56)
    screw = page.page.locator(".label", has_text="screw")
    screw.click()
    page.until("clickgrain.store.state.image.document.objects[0].label !== null")
    screw.dblclick()
    page.page.get_by_role("button", name="Delete label").click()
    dialog = page.page.get_by_role("dialog")
    expect(dialog).to_contain_text("1 object loses it")
    dialog.get_by_role("button", name="Delete", exact=True).click()
    expect(screw).to_have_count(0)
    page.page.keyboard.press("Control+z")
    expect(screw).to_have_count(1)
    expect(page.page.get_by_role("row", name="screw")).to_be_visible()
    assert len(page.objects()) == 1  # the label came back, the click stayed
    page.press("Control+z")
    assert page.objects()[0]["label"] is None


def test_undo_goes_to_the_image_where_the_last_thing_was_done(server, tab):
    page = tab().open(server.address, "photo14")
    page.take(44, 56)
    page.page.keyboard.press("d")
    page.ready("photo15")
    page.page.keyboard.press("Control+z")
    page.ready("photo14")
    page.until("!clickgrain.store.state.image.document.objects.length")
    page.page.keyboard.press("Control+Shift+z")
    page.until("clickgrain.store.state.image.document.objects.length === 1")


def test_a_hidden_object_catches_no_pointer(server, tab):
    page = tab().open(server.address, "photo16")
    made = page.take(44, 56)
    page.press("Shift+h")
    page.press("Enter", wait=False)
    page.move(48, 58)
    assert page.page.evaluate("clickgrain.stage.tools.over") is None
    assert page.shown()
    objects = page.click(48, 58)
    assert [each["id"] for each in objects] == [made["id"], made["id"] + 1]


def test_a_box_adds_to_the_object_in_hand_and_a_right_drag_takes_away(server, tab):
    page = tab().open(server.address, "photo17")
    disk = page.take(44, 56)
    seq = page.seq()
    page.drag((88, 28), (110, 50), (142, 84))
    (both,) = page.written(seq)
    assert both["area"] > disk["area"]
    assert page.owner(44, 56) == page.owner(116, 56) == both["id"]
    seq = page.seq()
    page.move(80, 20)
    page.page.mouse.down(button="right")
    page.page.mouse.move(*page.screen(150, 90), steps=4)
    page.page.mouse.up(button="right")
    (less,) = page.written(seq)
    assert less["steps"][-1]["label"] == 0
    assert page.owner(116, 56) is None
    assert page.owner(44, 56) == less["id"]


def test_next_and_done_follow_search_and_filter(server, tab, expect):
    page = tab().open(server.address, "photo20")
    page.page.get_by_label("Search images by name").fill("photo2")
    page.page.locator("#stage").focus()
    page.page.evaluate("""clickgrain.gallery.takeEntries(clickgrain.store.state.images
        .filter(({ name }) => name === "photo21.png").map((each) => ({ ...each, status: "skipped" })))""")
    page.page.get_by_label("Show images by status").select_option("todo")
    page.page.locator("#stage").focus()
    page.page.keyboard.press("d")
    page.ready("photo22")
    page.page.keyboard.press("a")
    page.ready("photo20")
    page.page.keyboard.press("Control+Enter")
    page.ready("photo22")
    page.page.get_by_label("Search images by name").fill("photo22")
    page.page.locator("#stage").focus()
    page.page.keyboard.press("Control+Enter")
    expect(page.page.locator("#hint")).to_contain_text("That was the last image of the list. Left:")
    assert state(page, "image.info.name") == "photo22.png"


def test_a_damaged_image_is_shown_in_its_place_and_can_be_skipped(own_server, tab, expect):
    own = own_server(3)
    (own.folder / "photo01.png").write_bytes(b"no picture")
    page = tab(forgive=True).open(own.address, "photo00")
    page.page.keyboard.press("d")
    broken = page.page.locator(".broken")
    expect(broken).to_contain_text("photo01.png")
    expect(page.page.locator("#bar .title")).to_have_text("photo01.png")
    expect(page.page.locator("#banner")).to_be_hidden()
    broken.get_by_role("button", name="Skip this image").click()
    page.ready("photo02")
    expect(broken).to_have_count(0)
    status = "images.find(({ name }) => name === 'photo01.png').status"
    assert state(page, status) == "skipped"
    page.page.keyboard.press("Control+z")
    expect(broken).to_contain_text("photo01.png")  # where it was done
    page.until(f"clickgrain.store.state.{status} === 'todo'")
    page.page.keyboard.press("Control+Shift+z")
    page.until(f"clickgrain.store.state.{status} === 'skipped'")
