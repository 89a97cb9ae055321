"""Objects that are in the next image too, many objects at a time, and the images that lack something."""

import pytest

from tests.browser.conftest import Server


@pytest.fixture(scope="module")
def server(browser, photos):
    """A server for these stories, each on images that no other one opens."""
    server = Server(photos(12))
    yield server
    server.kill()


def test_all_objects_are_copied_to_the_next_image_and_snap_to_what_is_there(server, tab):
    page = tab(auto=True).open(server.address, "photo02")
    page.click(48, 56)
    page.press("Enter", wait=False)
    page.click(116, 56)
    page.press("Enter", wait=False)
    before = page.objects()
    page.page.keyboard.press("Shift+D")
    page.ready("photo03")
    page.until("clickgrain.store.state.image.document.objects.length === 2")
    after = page.objects()
    for old, new in zip(before, after):
        left, top, right, bottom = old["bbox"]
        assert (
            max(abs(a - b) for a, b in zip(new["bbox"], (left + 2, top, right + 2, bottom))) <= 1
        )  # it moved by 2
        assert new["source"] == "copy"
        assert new["steps"][0]["type"] == "click"  # so it can be corrected
    page.press("Control+z")
    assert page.objects() == []


def test_the_object_in_hand_alone_is_copied_to_the_next_image(server, tab):
    page = tab(auto=True).open(server.address, "photo08")
    page.click(44, 56)
    page.press("Enter", wait=False)
    page.click(108, 56)
    page.page.keyboard.press("Shift+D")
    page.ready("photo09")
    page.until("clickgrain.store.state.image.document.objects.length === 1")
    (copied,) = page.objects()
    assert copied["bbox"][0] > 80  # the square


def test_copy_paste_and_duplicate(server, tab):
    page = tab(auto=True).open(server.address, "photo04")
    (made,) = page.click(48, 56)
    page.press("Control+d")
    (_, twin) = page.objects()
    assert twin["area"] == made["area"]
    assert twin["bbox"] != made["bbox"]
    page.press("k", wait=False)
    page.until("clickgrain.store.state.active === 1")
    page.page.keyboard.press("Control+c")
    page.page.keyboard.press("d")
    page.ready("photo05")
    (pasted,) = page.press("Control+v")
    assert abs(pasted["bbox"][0] - made["bbox"][0] - 2) <= 1


def test_a_range_by_shift_merged_by_a_key(server, tab):
    page = tab().open(server.address, "photo06")
    for x in (44, 60, 116, 10):
        page.page.evaluate(
            f"clickgrain.annotator.addSteps([{{type: 'brush', points: [[{x}, 56]], radius: 5, label: 1}}], true)"
        )
    page.until("clickgrain.store.state.image.document.objects.length === 4")
    rows = page.page.get_by_role("grid", name="Objects, topmost first").locator(".line")
    rows.nth(0).click()
    rows.nth(2).click(modifiers=["Shift"])
    page.until("clickgrain.store.state.selection.length === 3")
    assert len(page.press("Shift+M")) == 2
    page.press("Control+z")
    assert len(page.objects()) == 4


def test_images_by_label_without_objects_and_the_next_unlabelled(own_server, tab, expect):
    page = tab(auto=True).open(own_server(3).address, "photo00")
    page.page.evaluate("clickgrain.annotator.changeProject({ kind: 'label.add', name: 'cam' })")
    page.until("clickgrain.store.state.labels.length")
    page.click(44, 56)
    page.press("1")
    page.page.keyboard.press("d")
    page.ready("photo01")
    page.page.evaluate("clickgrain.annotator.giveLabel(null)")
    page.click(46, 56)
    images = page.page.get_by_role("listbox", name="Images").get_by_role("option")
    show = page.page.get_by_label("Show images by status")
    for choice, name in (
        ("With cam", "photo00"),
        ("With unlabeled objects", "photo01"),
        ("Without objects", "photo02"),
    ):
        show.select_option(choice)
        expect(images).to_have_count(1)
        expect(images).to_contain_text(name)
    show.select_option("all")
    images.filter(has_text="photo02").click()
    page.ready("photo02")
    page.page.keyboard.press("Shift+U")
    page.ready("photo01")
    page.until("clickgrain.store.state.active === 1")
    page.press("1")
    page.page.keyboard.press("Shift+U")
    expect(page.page.locator("#hint")).to_have_text("No object is without a label.")
