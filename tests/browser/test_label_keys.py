"""Labels by single keys, for fifty labels too."""


def add(page, *names):
    """Make labels."""
    for name in names:
        page.page.evaluate(f"clickgrain.annotator.changeProject({{ kind: 'label.add', name: '{name}' }})")
    page.until(f"clickgrain.store.state.labels.at(-1)?.name === '{names[-1]}'")


def labels(page):
    """Names of the objects' labels, bottom first."""
    return page.page.evaluate("""(() => { const { image, labels } = clickgrain.store.state;
        return image.document.objects.map(({ label }) => labels.find(({ id, merged }) =>
            id === label || merged.includes(label))?.name ?? null); })()""")


def test_a_key_labels_the_object_in_hand_and_the_next(own_server, tab):
    page = tab(auto=True).open(own_server(1).address)
    page.click(40, 80)  # near the disk's rim, which may mean something smaller
    page.page.keyboard.press("1")  # no label has it yet: the first outline on offer
    page.until("clickgrain.store.state.image.document.objects[0].steps.length === 2")
    page.press("Control+z")
    add(page, *(f"thing {number}" for number in range(1, 12)))
    page.press("2")
    assert labels(page) == ["thing 2"]
    page.press("Enter", wait=False)
    page.page.keyboard.press("g")  # the tenth: the first letter that no command has
    page.until("clickgrain.store.state.label === 10")
    page.take(100, 60)
    assert labels(page) == ["thing 2", "thing 10"]
    page.press("Enter", wait=False)
    page.take(10, 110)  # the last one sticks
    assert labels(page) == ["thing 2", "thing 10", "thing 10"]
    page.press("Control+z")
    page.press("j", wait=False)
    page.until("clickgrain.store.state.offers?.length")
    chosen = page.press("Shift+1")
    assert [step["type"] for step in chosen[0]["steps"]] == ["click", "choose"]
    assert labels(page)[0] == "thing 2"


def test_fifty_labels_and_the_active_one_in_sight(own_server, tab):
    page = tab().open(own_server(1).address)
    add(page, *(f"thing {number}" for number in range(1, 51)))
    page.page.evaluate("clickgrain.annotator.turn(() => clickgrain.annotator.giveLabel(47))")
    page.until("clickgrain.store.state.label === 47")
    page.frame()
    seen = """(() => { const row = document.querySelector(".label[aria-pressed=true]").getBoundingClientRect(),
        list = document.querySelector(".labels").getBoundingClientRect();
        return row.top >= list.top && row.bottom <= list.bottom; })()"""
    assert page.page.evaluate(seen)
    page.page.keyboard.press("l")
    page.page.keyboard.type("thing 33")
    page.page.keyboard.press("Enter")
    page.until("clickgrain.store.state.label === 33")
    page.frame()
    assert page.page.evaluate(seen)


def test_labels_are_moved_and_merged_and_that_is_undone(own_server, tab):
    page = tab().open(own_server(1).address)
    add(page, "nut", "bolt", "screw")
    page.page.keyboard.press("3")
    page.take(44, 56)
    screw = page.page.locator(".label", has_text="screw")
    screw.dblclick()
    page.page.get_by_role("button", name="To the top").click()
    names = "clickgrain.store.state.labels.map(({ name }) => name).join()"
    page.until(f"{names} === 'screw,nut,bolt'")
    screw.dblclick()
    page.page.get_by_label("Merge into").select_option("bolt")
    page.until(f"{names} === 'nut,bolt'")
    assert labels(page) == ["bolt"]
    bolt = page.page.locator(".label", has_text="bolt")
    assert bolt.inner_text().split() == ["bolt", "1", "2"]  # one object, key 2
    page.page.keyboard.press("Control+z")
    page.until(f"{names} === 'screw,nut,bolt'")
    assert labels(page) == ["screw"]
    page.page.keyboard.press("Control+z")
    page.until(f"{names} === 'nut,bolt,screw'")


def test_the_panel_s_own_undo_leaves_nothing_for_ctrl_z_to_undo_twice(own_server, tab):
    page = tab().open(own_server(1).address)
    add(page, "nut", "bolt")
    page.take(44, 56)
    names = "clickgrain.store.state.labels.map(({ name }) => name).join()"
    page.page.get_by_role("button", name="Undo the last change to labels").click()
    page.until(f"{names} === 'nut'")
    page.press("Control+z")  # the object
    assert page.objects() == []
    page.page.keyboard.press("Control+z")
    page.until(f"{names} === ''")
    page.page.get_by_role("button", name="Redo the last change to labels").click()
    page.until(f"{names} === 'nut'")
