"""An object of a sequence is carried on, corrected where it was lost, carried on again, and taken back at once."""

import cv2
import numpy as np
import pytest

from tests.browser.conftest import DISK, Server, draw

CUT = 5


@pytest.fixture
def server(browser, tmp_path):
    """Ten frames; the disk moves by 2 pixels in each, and by 40 at once from frame 4 to 5, in other light."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(10):
        image = draw(2 * number, seed=number)
        if number >= CUT:
            image = np.roll(image[..., ::-1], 40, axis=0)
        assert cv2.imwrite(str(folder / f"frame{number:02}.png"), image[..., ::-1])
    server = Server(folder)
    yield server
    server.kill()


def test_an_object_is_carried_on_corrected_where_it_was_lost_and_taken_back_at_once(server, tab, expect):
    page = tab(auto=True).open(server.address, "frame00")
    x, y, _ = DISK
    page.click(x, y)
    page.page.keyboard.press("t")
    dock = page.page.get_by_role("group", name="Carry on")
    expect(dock).to_contain_text("lost in frame05.png")
    page.ready("frame05")  # the view is where it ended
    assert page.objects() == []
    sum_of = "clickgrain.store.state.images.reduce((sum, image) => sum + image.objects, 0)"
    page.until(f"{sum_of} === {CUT}")
    page.click(x + 2 * CUT, y + 40)
    page.page.keyboard.press("t")
    expect(dock).to_contain_text("the last image of the list")
    page.ready("frame09")
    (last,) = page.objects()
    assert last["track"] == "1-1"
    assert abs(last["bbox"][0] - (x + 18 - DISK[2])) <= 3
    page.until("clickgrain.store.state.active !== null")  # in hand: one click corrects it
    page.until(f"{sum_of} === 10")
    page.page.keyboard.press("Control+z")
    page.until(f"{sum_of} === {CUT + 1}")
    page.page.keyboard.press("Control+Shift+z")
    page.until(f"{sum_of} === 10")
    page.page.keyboard.press("Control+z")
    page.until(f"{sum_of} === {CUT + 1}")
    page.press("Control+z", wait=False)  # the click
    page.until(f"{sum_of} === {CUT}")
    page.page.keyboard.press("Control+z")
    page.until(f"{sum_of} === 1")


def test_a_correction_on_any_frame_is_kept(server, tab, expect):
    page = tab(auto=True).open(server.address, "frame00")
    x, y, radius = DISK
    page.click(x, y)
    page.page.keyboard.press("t")
    dock = page.page.get_by_role("group", name="Carry on")
    expect(dock).to_contain_text("lost in frame05.png")
    page.open(server.address, "frame02")
    page.page.get_by_role("row", name="Object 1").click()
    page.press("b", wait=False)
    page.page.evaluate("clickgrain.store.set({ radius: 6 })")
    seq = page.seq()
    page.drag((x + 4, y - radius + 4), (x + 4, y - radius - 12))  # a handle above the disk
    (corrected,) = page.written(seq)
    page.open(server.address, "frame00")
    page.page.get_by_role("row", name="Object 1").click()
    page.press("t", wait=False)
    expect(dock).to_contain_text("lost in frame05.png")
    page.open(server.address, "frame02")
    assert page.objects()[0]["mask"] == corrected["mask"]  # kept
    page.open(server.address, "frame01")
    assert page.objects()[0]["bbox"][1] >= y - radius - 2  # before it: as it was


def test_stop_keeps_what_there_is_and_a_reload_shows_what_runs(own_server, tab, expect):
    server = own_server(1)
    for number in range(400):  # enough to be in the middle for a while
        assert cv2.imwrite(str(server.folder / f"still{number:03}.png"), draw(0, seed=number)[..., ::-1])
    page = tab(auto=True).open(server.address, "photo00")
    page.page.get_by_label("Look for new photos").click()
    page.until("clickgrain.store.state.images.length === 401")
    page.click(*DISK[:2])
    page.page.keyboard.press("t")
    page.until("clickgrain.store.state.image.info.name !== 'photo00.png'")  # the view follows
    page.page.reload()
    page.ready()
    dock = page.page.get_by_role("group", name="Carry on")
    expect(dock.get_by_role("progressbar", name="Images")).to_be_visible()
    dock.get_by_role("button", name="Stop").click()
    expect(dock).to_contain_text("stopped in")
    made = page.page.evaluate("clickgrain.store.state.carry.result.images.length")
    assert 0 < made < 400
    page.until("clickgrain.store.state.images.filter((image) => image.objects).length > 1")
    page.page.keyboard.press("Control+z")
    page.until("clickgrain.store.state.images.filter((image) => image.objects).length === 1")


def test_images_that_the_view_only_passes_are_not_encoded(own_server, tab, expect):
    server = own_server(1)
    for number in range(30):
        assert cv2.imwrite(str(server.folder / f"still{number:03}.png"), draw(0, seed=number)[..., ::-1])
    page = tab(auto=True).open(server.address, "photo00")
    page.page.get_by_label("Look for new photos").click()
    page.until("clickgrain.store.state.images.length === 31")
    page.click(*DISK[:2])
    passed = []
    page.page.on("request", lambda request: passed.append(request.url))
    page.page.keyboard.press("t")
    expect(page.page.get_by_role("group", name="Carry on")).to_contain_text("the last image of the list")
    page.ready("still029")  # the regions of the last one are there again
    assert sum(url.endswith("passing=1") for url in passed) > 1
    encoded = page.page.evaluate("fetch('/api/images').then((answer) => answer.json())")["images"]
    assert sum(image["encoded"] for image in encoded) < 12  # those ahead of the first, and of the last
