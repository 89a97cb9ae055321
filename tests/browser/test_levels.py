"""Part, object, scene: the wheel, the keys and the slider walk the tree."""


def test_the_wheel_walks_up_and_down(shared, tab):
    page = tab().open(shared.address, "photo03")
    page.move(50, 56)
    start = page.shown()
    sizes = []
    for _ in range(3):
        page.wheel(1)
        sizes.append(page.shown())
    assert start < sizes[0] < sizes[1]
    assert sizes[-1] == 160 * 120  # the scene
    page.wheel(-3)
    assert page.shown() < sizes[0]
    before = page.shown()
    page.press("]", wait=False)
    page.frame()
    assert page.shown() > before


def test_an_object_just_taken_follows_the_wheel(shared, tab):
    page = tab().open(shared.address, "photo04")
    page.move(52, 56)
    part = page.click(52, 56)[0]
    seq = page.seq()
    page.wheel(1)
    (whole,) = page.written(seq)
    assert whole["id"] == part["id"]
    assert whole["area"] > part["area"]
    assert [step["type"] for step in whole["steps"]] == ["region"]


def test_auto_shows_what_the_click_takes(shared, tab):
    page = tab().open(shared.address, "photo22")
    page.page.get_by_label("Auto").check()
    page.move(44, 56)
    assert page.shown() == 0  # no region of the tree at the slider's level
    page.until("clickgrain.stage.guess.shown")
    seen = page.page.evaluate("clickgrain.stage.guess.shown.bits.reduce((sum, bit) => sum + bit, 0)")
    (made,) = page.click(44, 56)
    assert made["area"] == seen > 0
    page.move(120, 20)
    page.until("clickgrain.stage.guess.shown")  # an object is in hand: what a click would add to it
    assert page.page.evaluate("Boolean(clickgrain.stage.guess.change)")


def test_the_guess_goes_when_the_pointer_does(shared, tab):
    page = tab().open(shared.address, "photo23")
    page.page.get_by_label("Auto").check()
    page.move(44, 56)
    page.until("clickgrain.stage.guess.shown")
    page.page.get_by_label("Auto").uncheck()
    page.until("!clickgrain.stage.guess.shown")
    page.move(44, 56)
    assert page.shown() > 0


def test_other_outlines_are_offered_for_a_doubtful_click(shared, tab):
    page = tab().open(shared.address, "photo05")
    page.page.get_by_label("Auto").check()
    (first,) = page.click(64, 72)  # near the disk's rim
    page.until("clickgrain.store.state.offers?.length")
    offers = page.page.evaluate("clickgrain.store.state.offers.map((offer) => offer.area)")
    assert 1 <= len(offers) <= 3
    words = f"{len(offers)} other outlines: Shift and 1 to {len(offers)}"
    words = words if len(offers) > 1 else "Another outline: Shift and 1"
    assert page.page.locator("#hint").text_content() == words
    (chosen,) = page.press(f"Shift+{len(offers)}")
    assert chosen["area"] == offers[-1] != first["area"]
