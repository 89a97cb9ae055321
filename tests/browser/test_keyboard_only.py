"""Everything without a mouse, with keys of one's own choosing."""


def test_an_object_a_label_and_on(shared, tab, expect):
    page = tab().open(shared.address, "photo12")
    keys = page.page.keyboard
    keys.press("ArrowLeft")
    page.frame()
    while page.page.evaluate("clickgrain.stage.tools.here().x") > 52:
        keys.press("ArrowLeft")
        page.frame()
    keys.press("]")
    page.frame()
    expect(page.page.locator("#said")).to_contain_text("% of the image")
    (made,) = page.press("Space")
    assert page.owner(52, 60) == made["id"]
    keys.press("l")
    keys.type("disk by key")
    (labelled,) = page.press("Enter")
    assert labelled["label"] is not None
    keys.press("Enter")
    before = page.page.evaluate("clickgrain.store.state.image.id")
    keys.press("Control+Enter")
    page.ready("photo13")
    assert (
        page.page.evaluate(f"clickgrain.store.state.images.find((each) => each.id === {before}).status") == "done"
    )
    keys.press("a")
    page.ready("photo12")


def test_tab_reaches_everything(shared, tab):
    page = tab().open(shared.address, "photo13")
    page.page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        page.page.keyboard.press("Tab")
        reached.add(
            page.page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent"
            )
        )
    for name in (
        "Search images by name",
        "Images",
        "Click tool (C)",
        "Brush (B)",
        "Objects, topmost first",
        "Done, next image",
        "Statistics (Shift S)",
    ):
        assert name in reached
    assert any(name.startswith("Image. Arrow keys") for name in reached)


def test_the_cheat_sheet_changes_keys(shared, tab, expect):
    page = tab().open(shared.address, "photo13")
    page.press("?", wait=False)
    dialog = page.page.get_by_role("dialog")
    dialog.get_by_label("Brush: B").click()
    page.page.keyboard.press("q")
    expect(dialog.get_by_label("Brush: Q")).to_be_focused()
    page.page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.page.reload()
    page.ready("photo13")
    page.press("b", wait=False)
    page.frame()
    assert page.page.evaluate("clickgrain.store.state.tool") == "click"
    page.press("q", wait=False)
    assert page.page.evaluate("clickgrain.store.state.tool") == "brush"
