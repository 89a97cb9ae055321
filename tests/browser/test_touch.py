"""A phone: fingers take, correct, and zoom."""


def test_tap_and_long_press(shared, tab):
    page = tab(touch=True, size=(390, 844)).open(shared.address)
    page.page.get_by_role("button", name="Images", exact=True).tap()
    page.find("photo14").tap()
    page.ready("photo14")
    before = page.seq()
    page.page.touchscreen.tap(*page.screen(56, 56))
    (made,) = page.written(before)
    assert page.owner(56, 56) == made["id"]
    touch = page.page.context.new_cdp_session(page.page)
    x, y = page.screen(124, 56)
    before = page.seq()
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    (corrected,) = page.written(before)
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert corrected["steps"][-1] == {"type": "click", "x": 124, "y": 56, "label": 0}


def test_another_outline_is_taken_by_a_tap(own_server, tab, expect):
    page = tab(touch=True, size=(390, 844), auto=True).open(own_server(1).address)
    before = page.seq()
    page.page.touchscreen.tap(*page.screen(40, 80))  # near the disk's rim
    (made,) = page.written(before)
    offers = page.page.get_by_role("group", name="Other outlines").get_by_role("button")
    expect(offers.first).to_be_visible()
    before = page.seq()
    offers.first.tap()
    (chosen,) = page.written(before)
    assert [step["type"] for step in chosen["steps"]] == ["click", "choose"]
    assert chosen["area"] != made["area"]


def test_two_fingers_zoom(shared, tab):
    page = tab(touch=True, size=(390, 844)).open(shared.address)
    touch = page.page.context.new_cdp_session(page.page)
    scale = page.page.evaluate("clickgrain.stage.view.scale")
    objects = page.objects()
    pair = lambda gap: [{"x": 195 - gap, "y": 300, "id": 0}, {"x": 195 + gap, "y": 300, "id": 1}]  # noqa: E731
    touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": pair(40)})
    for gap in (50, 65, 80):
        touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": pair(gap)})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.until(f"Math.abs(clickgrain.stage.view.scale / {scale} - 2) < 0.2")
    assert page.objects() == objects


def test_the_next_object_begins_at_the_thumb(own_server, tab):
    page = tab(touch=True, size=(390, 844)).open(own_server(1).address)
    fresh = page.page.get_by_role("navigation", name="Tools").get_by_role("button", name="New object")
    for name in ("Undo", "New object"):  # in sight, in the lower third, without a drawer
        box = page.page.get_by_role("navigation", name="Tools").get_by_role("button", name=name).bounding_box()
        assert box["y"] > 844 * 2 / 3
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    assert fresh.is_disabled()
    for count, x in ((1, 44), (2, 114)):
        before = page.seq()
        page.page.touchscreen.tap(*page.screen(x, 56))
        assert len(page.written(before)) == count
        fresh.tap()
        page.until("clickgrain.store.state.active === null")
