"""A newcomer starts the command, points at something, turns the wheel until the outline fits, clicks: an object."""

import math


def test_start_point_wheel_click(own_server, tab):
    server = own_server()
    page = tab().open(server.address)
    page.move(44, 56)
    page.wheel(1)
    seen = page.shown()
    (made,) = page.click(44, 56)
    assert made["area"] == seen  # what was shown is what was taken
    assert math.isclose(made["area"], math.pi * 26**2, rel_tol=0.1)
    assert page.owner(44, 56) == made["id"]
    assert page.owner(5, 5) is None
    assert page.page.get_by_text("All saved").is_visible()
    assert page.page.get_by_role("row", name="Object 1").is_visible()
    assert (server.folder / "clickgrain.db").exists()


def test_four_marks_lead_through_the_first_object_and_never_come_back(own_server, tab, expect):
    page = tab(auto=True).open(own_server(2).address)
    coach = page.page.get_by_role("region", name="Your first object")
    done = coach.locator("li.done")
    expect(coach).to_contain_text("Auto")
    expect(coach).to_contain_text("wheel")
    expect(coach).to_contain_text("Right click")
    expect(coach).to_contain_text("L gives it a label")
    expect(done).to_have_count(0)
    page.click(44, 56)
    expect(done).to_have_count(1)
    page.click(100, 100, button="right")
    expect(done).to_have_count(2)
    page.press("l", wait=False)
    page.page.keyboard.type("disk")
    page.press("Enter")
    expect(done).to_have_count(3)
    page.page.get_by_label("Auto").uncheck()
    expect(coach).to_have_count(0)
    page.open(page.page.url)
    expect(coach).to_have_count(0)


def test_the_last_image_leads_to_the_export(own_server, tab, expect):
    page = tab().open(own_server(2).address, "photo00")
    way_out = page.page.get_by_role("button", name="All done: export")
    expect(way_out).to_be_hidden()
    page.press("Control+Enter", wait=False)
    page.ready("photo01")
    page.press("Control+Enter")
    way_out.click()
    expect(page.page.get_by_role("dialog")).to_contain_text("Export and import")
