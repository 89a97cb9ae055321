"""Every pixel accounted for: propose at a level, accept, split, merge, label."""


def test_partition_split_merge(shared, tab, expect):
    page = tab().open(shared.address, "photo15")
    page.press("w", wait=False)
    expect(page.page.get_by_text("regions ·")).to_be_visible()
    page.page.get_by_label("Level: part, object, scene").fill("0.8")
    page.frame()
    promised = page.page.evaluate("clickgrain.stage.partition.count")
    seq = page.seq()
    page.page.get_by_role("button", name="Accept all regions").click()
    made = page.written(seq)
    assert len(made) == promised > 1
    assert page.page.evaluate("clickgrain.store.state.image.owners.covered()") == 1
    expect(page.page.get_by_text("every pixel belongs to an object")).to_be_visible()

    page.page.mouse.click(*page.screen(58, 56))
    seq = page.seq()
    page.page.get_by_role("button", name="Split", exact=True).click()
    assert len(page.written(seq)) == promised + 1
    ids = [each["id"] for each in page.objects()]
    page.page.evaluate(f"clickgrain.store.set({{ selection: [{ids[0]}, {ids[-1]}], active: null }})")
    seq = page.seq()
    page.page.get_by_role("button", name="Merge", exact=True).click()
    assert len(page.written(seq)) == promised
    assert page.page.evaluate("clickgrain.store.state.image.owners.covered()") == 1
