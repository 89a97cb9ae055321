"""One object taken, its likes found in the other images and taken with a key."""


def test_find_and_accept(own_server, tab, expect):
    server = own_server(4)
    page = tab().open(server.address, "photo00")
    page.take(44, 56)
    page.press("l", wait=False)
    page.page.keyboard.type("disk")
    page.press("Enter")
    page.press("m", wait=False)
    matches = page.page.get_by_role("listbox", name="Likely matches")
    expect(matches).to_be_visible()
    first = matches.get_by_role("option").first
    expect(first).to_be_focused()
    name = first.get_attribute("aria-label").split(",")[0]
    page.page.keyboard.press("Enter")
    page.until(f"clickgrain.store.state.images.find((image) => image.name === '{name}').objects === 1")
    others = matches.get_by_role("option").count()
    page.page.get_by_label("Least similarity").evaluate(
        "(slider) => (slider.value = 0, slider.dispatchEvent(new Event('input')))"
    )
    page.page.get_by_role("button", name="Take all").click()
    page.until(
        f"clickgrain.store.state.images.reduce((sum, image) => sum + image.objects, 0) >= {min(others, 2) + 2}"
    )
    page.page.keyboard.press("Escape")
    page.page.get_by_role("option", name=name).click()
    page.ready(name)
    assert page.objects()[0]["source"] == "same"
    assert page.page.get_by_role("option", name="disk").first.is_visible()


def test_undo_takes_back_all_that_was_found(own_server, tab, expect):
    server = own_server(3)
    page = tab().open(server.address, "photo00")
    page.take(44, 56)
    page.press("m", wait=False)
    expect(page.page.get_by_role("listbox", name="Likely matches")).to_be_visible()
    page.page.get_by_label("Least similarity").evaluate(
        "(slider) => (slider.value = 0, slider.dispatchEvent(new Event('input')))"
    )
    page.page.get_by_role("button", name="Take all").click()
    sum_of = "clickgrain.store.state.images.reduce((sum, image) => sum + image.objects, 0)"
    page.until(f"{sum_of} >= 3")
    found = page.page.evaluate(sum_of)
    page.page.keyboard.press("Escape")
    page.page.keyboard.press("Control+z")
    page.until(f"{sum_of} === 1")
    page.page.keyboard.press("Control+Shift+z")
    page.until(f"{sum_of} === {found}")
    page.page.keyboard.press("Control+z")
    page.until(f"{sum_of} === 1")
    page.press("Control+z")  # and what was done before it
    assert page.objects() == []
