"""One object taken; its likes found in this image and taken with a click, in the others with a key."""

import re

import cv2
import numpy as np


def look_elsewhere(page):
    """Search this image, then the other ones."""
    page.press("m", wait=False)
    page.until("clickgrain.store.state.same")
    page.press("m", wait=False)


def coins():
    """Four rows of six bright disks on a dark, noisy ground."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:264, :384]
    image = 70 + rng.normal(0, 5, (264, 384, 3))
    for row, column in np.ndindex(4, 6):
        inside = np.hypot(x - 34 - 63 * column, y - 34 - 65 * row) < rng.uniform(20, 26)
        image[inside] = rng.uniform(150, 190) + rng.normal(0, 10, (inside.sum(), 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def test_24_coins_by_one_click_and_a_slider(own_server, photos, tab, expect):
    server = own_server(1)
    assert cv2.imwrite(str(server.folder / "coins.png"), coins())
    page = tab(auto=True).open(server.address)
    page.page.get_by_label("Look for new photos").click()
    page.open(server.address, "coins")
    page.click(97, 99)
    page.page.keyboard.press("m")
    count = page.page.get_by_label("Similar objects")
    expect(count).to_be_visible()
    slider = page.page.get_by_label("Least similarity")
    set_to = "(slider, value) => (slider.value = value, slider.dispatchEvent(new Event('input')))"
    slider.evaluate(set_to, 0.98)
    few = int(count.inner_text().split()[0])
    slider.evaluate(set_to, 0.3)
    expect(count).to_have_text("23 like it")
    assert few < 23
    page.click(34, 34)  # one is taken
    expect(count).to_have_text("22 like it")
    page.page.mouse.click(*page.screen(349, 229), button="right")  # one is left out
    expect(count).to_have_text("21 like it")
    page.page.get_by_role("button", name="Take all 21").click()
    page.until("clickgrain.store.state.image.document.objects.length === 23")
    page.until("clickgrain.store.state.same === null")
    page.press("Control+z")
    assert len(page.objects()) == 2  # all 21 at once
    page.press("Control+z")
    assert len(page.objects()) == 2  # what was left out
    page.press("Control+z")
    assert len(page.objects()) == 1


def test_find_and_accept(own_server, tab, expect):
    server = own_server(4)
    page = tab().open(server.address, "photo00")
    page.take(44, 56)
    page.press("l", wait=False)
    page.page.keyboard.type("disk")
    page.press("Enter")
    look_elsewhere(page)
    matches = page.page.get_by_role("listbox", name="Likely matches")
    expect(matches).to_be_visible()
    first = matches.get_by_role("option").first
    expect(first).to_be_focused()
    name = first.get_attribute("aria-label").split(",")[0]
    page.page.keyboard.press("Enter")
    page.until(f"clickgrain.store.state.images.find((image) => image.name === '{name}').objects === 1")
    others = matches.get_by_role("option").count()
    page.page.get_by_role("dialog").get_by_label("Least similarity").evaluate(
        "(slider) => (slider.value = 0, slider.dispatchEvent(new Event('input')))"
    )
    page.page.get_by_role("dialog").get_by_role("button", name="Take all").click()
    page.until(
        f"clickgrain.store.state.images.reduce((sum, image) => sum + image.objects, 0) >= {min(others, 2) + 2}"
    )
    page.page.keyboard.press("Escape")
    page.page.get_by_role("option", name=name).click()
    page.ready(name)
    assert page.objects()[0]["source"] == "same"
    assert page.page.get_by_role("row", name="disk").first.is_visible()


def test_undo_takes_back_all_that_was_found(own_server, tab, expect):
    server = own_server(3)
    page = tab().open(server.address, "photo00")
    page.take(44, 56)
    look_elsewhere(page)
    expect(page.page.get_by_role("listbox", name="Likely matches")).to_be_visible()
    page.page.get_by_role("dialog").get_by_label("Least similarity").evaluate(
        "(slider) => (slider.value = 0, slider.dispatchEvent(new Event('input')))"
    )
    page.page.get_by_role("dialog").get_by_role("button", name="Take all").click()
    sum_of = "clickgrain.store.state.images.reduce((sum, image) => sum + image.objects, 0)"
    said = page.page.get_by_text(re.compile(r"^\d+ taken")).first  # the list's counts come one after the other
    expect(said).to_be_visible()
    found = 1 + int(said.inner_text().split()[0])
    assert found >= 3
    page.until(f"{sum_of} === {found}")
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Control+z")
    page.until(f"{sum_of} === 1")
    page.page.keyboard.press("Control+Shift+z")
    page.until(f"{sum_of} === {found}")
    page.page.keyboard.press("Control+z")
    page.until(f"{sum_of} === 1")
    page.press("Control+z")  # and what was done before it
    assert page.objects() == []
