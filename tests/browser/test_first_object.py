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
