"""The last pixels, and many objects: brush, eraser, labels, lock, hide, order."""


def test_brush_and_eraser(shared, tab):
    page = tab().open(shared.address, "photo09")
    page.take(46, 56)
    before = page.objects()[0]["area"]
    page.press("b", wait=False)
    seq = page.seq()
    page.drag((46, 100), (60, 100), (70, 104))
    (painted,) = page.written(seq)
    assert painted["area"] > before
    assert page.owner(60, 100) == painted["id"]
    page.press("e", wait=False)
    seq = page.seq()
    page.drag((40, 56), (52, 56))
    (erased,) = page.written(seq)
    assert erased["area"] < painted["area"]
    assert page.owner(46, 56) is None
    assert [step["type"] for step in erased["steps"]] == ["region", "brush", "brush"]


def test_box_and_scribble(shared, tab):
    page = tab().open(shared.address, "photo10")
    seq = page.seq()
    page.drag((22, 30), (48, 60), (74, 84))  # a drag of the click tool is a box
    (boxed,) = page.written(seq)
    assert boxed["steps"][0]["type"] == "box"
    assert page.owner(48, 56) == boxed["id"]
    page.press("Enter", wait=False)
    page.press("s", wait=False)
    seq = page.seq()
    page.drag((105, 50), (112, 58), (120, 62))
    scribbled = page.written(seq)[-1]
    assert scribbled["steps"][0]["type"] == "scribble"
    assert page.owner(112, 58) == scribbled["id"]


def test_label_lock_hide_and_return(shared, tab):
    page = tab().open(shared.address, "photo11")
    disk = page.take(50, 56)["id"]
    page.press("l", wait=False)
    page.page.keyboard.type("disk")
    page.press("Enter")
    assert page.page.get_by_role("row", name="disk").is_visible()
    page.press("Enter", wait=False)
    square = page.take(118, 56, notches=0)["id"]
    page.press("Enter", wait=False)

    page.page.mouse.click(*page.screen(50, 56))  # return to the first one, and go on
    page.until(f"clickgrain.store.state.active === {disk}")
    assert page.press("Shift+L")[0]["locked"]
    page.page.mouse.click(*page.screen(60, 100))
    page.until("document.querySelector('#hint').textContent.includes('lock')")
    assert len(page.objects()[0]["steps"]) == 1
    page.press("Shift+L")
    assert page.press("Shift+H")[0]["hidden"]
    assert [each["id"] for each in page.press("Shift+ArrowUp")] == [square, disk]
    page.complaints.clear()  # the refusal to change a locked object


def test_alt_adds_exactly_the_region_under_the_pointer(shared, tab):
    page = tab().open(shared.address, "photo18")
    disk = page.take(48, 56)
    page.page.keyboard.down("Alt")
    page.move(116, 56)
    seen = page.shown()
    assert seen
    (both,) = page.click(116, 56)
    page.page.keyboard.up("Alt")
    assert both["area"] == disk["area"] + seen
    assert [step["type"] for step in both["steps"]] == ["region", "region"]


def test_a_finer_object_inside_another_with_shift(shared, tab):
    page = tab().open(shared.address, "photo19")
    disk = page.take(50, 56)
    page.press("Enter", wait=False)
    page.page.keyboard.down("Shift")
    page.wheel(-2)
    seen = page.shown()
    assert 0 < seen < disk["area"]
    objects = page.click(50, 56)
    page.page.keyboard.up("Shift")
    assert [each["area"] for each in objects] == [disk["area"], seen]
    assert page.owner(50, 56) == objects[1]["id"]


def test_a_straight_line_with_shift_and_another_from_its_end(shared, tab):
    page = tab().open(shared.address, "photo00")
    page.take(44, 56)
    page.press("b", wait=False)
    page.page.evaluate("clickgrain.store.set({ radius: 2 })")
    page.page.keyboard.down("Shift")
    seq = page.seq()
    page.drag((20, 8), (60, 30), (100, 8))  # the way between does not count
    (painted,) = page.written(seq)
    ends = painted["steps"][-1]["points"]
    assert len(ends) == 2
    assert page.owner(60, 8) == painted["id"]
    assert page.owner(60, 20) is None
    page.move(100, 112)
    assert page.page.evaluate("clickgrain.stage.tools.stroke().points.length") == 2  # seen before the click
    seq = page.seq()
    page.page.mouse.click(*page.screen(100, 112))
    (painted,) = page.written(seq)
    page.page.keyboard.up("Shift")
    assert painted["steps"][-1]["points"] == [ends[1], [100.0, 112.0]]
    assert page.owner(100, 60) == painted["id"]
    page.move(20, 112)
    assert page.page.evaluate("clickgrain.stage.tools.stroke()") is None
