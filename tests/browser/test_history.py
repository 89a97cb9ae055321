"""Everything can be undone and redone, without limit, and a reload forgets nothing."""


def test_undo_and_redo_across_a_reload(shared, tab):
    page = tab().open(shared.address, "photo01")
    page.take(44, 56)
    page.press("Enter", wait=False)
    page.take(112, 56, notches=0)
    page.press("Delete")
    page.press("Control+z")
    after_two = page.objects()
    assert [each["id"] for each in after_two] == [1, 2]
    page.press("Control+z")
    assert [each["id"] for each in page.objects()] == [1]

    page.page.reload()
    page.ready("photo01")
    assert [each["id"] for each in page.objects()] == [1]
    assert page.owner(44, 56) == 1
    page.press("Control+z")
    assert page.objects() == []
    assert page.owner(44, 56) is None
    page.press("Control+Shift+z")
    assert page.press("Control+y") == after_two
    assert [each["id"] for each in page.press("Control+Shift+z")] == [1]  # the deletion again


def test_one_click_is_taken_away_or_moved(shared, tab):
    page = tab().open(shared.address, "photo02")
    page.take(46, 56)
    before = page.objects()[0]["area"]
    (corrected,) = page.click(112, 56)
    assert [step["type"] for step in corrected["steps"]] == ["region", "click"]
    assert corrected["area"] > before
    page.move(80, 100)  # the mark of a click just made is no target until the pointer has left it
    (back,) = page.click(112, 56)
    assert [step["type"] for step in back["steps"]] == ["region"]
    assert back["area"] == before
    page.move(80, 100)
    seq = page.seq()
    page.drag((46, 56), (52, 62))
    (moved,) = page.written(seq)
    assert (moved["steps"][0]["x"], moved["steps"][0]["y"]) == (52, 62)
