"""The object in hand as a polygon: corners are dragged, made and removed, and the exact mask comes back."""

import numpy as np

from tests.browser.conftest import DISK, HEIGHT, SQUARE, WIDTH

RINGS = "clickgrain.stage.tools.polygon.rings"


def square(own):
    """The drawn square as an object, with the polygon tool; its exact mask's hash."""
    page = own
    page.page.evaluate("""(async () => {
        const ring = [[92, 34], [136, 34], [136, 78], [92, 78]];
        await clickgrain.annotator.addSteps([{ type: "brush", points: [[100, 50]], radius: 2, label: 1 }], true);
        await clickgrain.annotator.addSteps([{ type: "polygon", rings: [ring] }]);
    })()""")
    page.until("clickgrain.store.state.image.document.objects[0]?.steps.length === 2")
    page.press("p", wait=False)
    page.frame()
    return page.objects()[0]["mask"]


def corner(page, x, y):
    """Where a corner is on the screen: it lies between pixels."""
    return page.screen(x - 0.5, y - 0.5)


def test_a_corner_is_dragged_and_undo_and_its_chip_bring_the_mask_back(own_server, tab, expect):
    page = tab().open(own_server(1).address, "photo00")
    left, top, side = SQUARE
    before = square(page)
    page.page.mouse.move(*corner(page, left + side, top + side))
    page.page.mouse.down()
    page.page.mouse.move(*corner(page, left + side + 15, top + side + 10), steps=4)
    seq = page.seq()
    page.page.mouse.up()
    (item,) = page.written(seq)
    assert [step["type"] for step in item["steps"]] == ["brush", "polygon"]  # all moves are one step
    assert item["bbox"] == [left, top, left + side + 15, top + side + 10]
    page.press("Control+z")
    assert page.objects()[0]["mask"] == before
    page.press("Control+Shift+z")
    page.page.get_by_label("Take away step 2: corners").click()
    page.until("clickgrain.store.state.image.document.objects[0].steps.length === 1")
    assert page.objects()[0]["area"] < 30  # the stroke that it began with


def test_an_edge_gives_a_new_corner_and_a_right_click_removes_it(own_server, tab):
    page = tab().open(own_server(1).address, "photo00")
    left, top, side = SQUARE
    square(page)
    page.page.mouse.move(*corner(page, left + side / 2, top))
    page.page.mouse.down()
    page.page.mouse.move(*corner(page, left + side / 2, top - 20), steps=4)
    seq = page.seq()
    page.page.mouse.up()
    (item,) = page.written(seq)
    assert item["bbox"][1] == top - 20
    assert page.page.evaluate(f"{RINGS}[0].length") == 5
    seq = page.seq()
    page.page.mouse.click(*corner(page, left + side / 2, top - 20), button="right")
    (item,) = page.written(seq)
    assert item["bbox"] == [left, top, left + side, top + side]
    assert item["area"] == side * side


def test_a_mask_has_few_corners_that_stay_near_its_outline(own_server, tab):
    page = tab().open(own_server(1).address, "photo00")
    x, y, _ = DISK
    page.take(x, y)
    page.press("p", wait=False)
    page.frame()
    (ring,) = page.page.evaluate(RINGS)
    assert 6 <= len(ring) < 40
    bits = np.array(
        page.page.evaluate(f"""(() => {{
            const mask = clickgrain.store.state.image.bits(1), all = [];
            for (let y = 0; y < {HEIGHT}; y++) for (let x = 0; x < {WIDTH}; x++) {{
                const dx = x - mask.box.x, dy = y - mask.box.y;
                const inside = dx >= 0 && dy >= 0 && dx < mask.box.width && dy < mask.box.height;
                all.push(inside ? mask.bits[dy * mask.box.width + dx] : 0);
            }}
            return all;
        }})()""")
    ).reshape(HEIGHT, WIDTH)
    from clickgrain.export.polygons import fill

    again = fill([ring], (HEIGHT, WIDTH))
    assert (again & (bits > 0)).sum() / (again | (bits > 0)).sum() > 0.95
    assert page.objects()[0]["steps"][-1]["type"] == "region"  # looking changes nothing
