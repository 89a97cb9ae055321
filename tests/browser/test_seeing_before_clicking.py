"""What a click would do is seen before it is made, on any photo, and the page is as it was left."""

import cv2
import numpy as np
import pytest

from tests.browser.conftest import Server, draw


@pytest.fixture(scope="module")
def server(browser, photos):
    """A server for these stories, each on an image that no other one opens."""
    server = Server(photos(12))
    yield server
    server.kill()


def test_auto_is_on_at_first_and_everything_is_as_it_was_left(server, tab, expect):
    page = tab(auto=True).open(server.address, "photo00")
    auto = page.page.get_by_label("Auto")
    expect(auto).to_be_checked()
    auto.uncheck()
    page.page.evaluate("clickgrain.annotator.changeProject({ kind: 'label.add', name: 'nut' })")
    page.page.locator(".label", has_text="nut").click()
    page.until("clickgrain.store.state.label !== null")
    page.page.evaluate("clickgrain.stage.tools.levels.set(0.33)")
    page.page.keyboard.press("+")
    page.page.keyboard.press("+")
    view = page.page.evaluate("clickgrain.stage.view")
    page.page.wait_for_timeout(500)
    page.page.reload()
    page.ready("photo00")
    expect(auto).not_to_be_checked()
    expect(page.page.locator(".label", has_text="nut")).to_have_attribute("aria-pressed", "true")
    assert page.page.evaluate("clickgrain.store.state.level") == 0.33
    page.until(
        f"Math.abs(clickgrain.stage.view.x - {view['x']}) + Math.abs(clickgrain.stage.view.y - {view['y']}) < 1"
    )
    assert page.page.evaluate("clickgrain.stage.view.scale") == view["scale"]
    page.page.keyboard.press("d")
    page.ready("photo01")
    assert page.page.evaluate("clickgrain.stage.fitted")
    page.page.get_by_label("Keep the zoom").click()
    page.page.keyboard.press("+")
    view = page.page.evaluate("clickgrain.stage.view")
    page.page.keyboard.press("d")
    page.ready("photo02")
    assert page.page.evaluate("clickgrain.stage.view") == view


def test_other_outlines_are_pictures_under_the_image_and_come_back_by_undo(server, tab, expect):
    page = tab(auto=True).open(server.address, "photo03")
    view = page.page.evaluate("clickgrain.stage.view")
    (first,) = page.click(64, 72)  # near the disk's rim
    offers = page.page.get_by_role("group", name="Other outlines").get_by_role("button")
    expect(offers.first).to_be_visible()
    assert page.page.evaluate("clickgrain.stage.view") == view  # the image stays under the pointer
    count = offers.count()
    assert 1 <= count <= 3
    filled = (
        "(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean)"
    )
    assert offers.first.locator("canvas").evaluate(filled)
    offers.first.hover()
    page.until("clickgrain.store.state.offered === 0")
    seq = page.seq()
    offers.first.click()
    (chosen,) = page.written(seq)
    assert chosen["area"] != first["area"]
    expect(offers).to_have_count(0)
    page.press("Control+z")
    expect(offers).to_have_count(count)
    (again,) = page.press("Shift+1")
    assert again["area"] == chosen["area"]


def test_the_pointer_at_rest_shows_what_a_click_would_add_or_take_away(server, tab):
    page = tab(auto=True).open(server.address, "photo04")
    (made,) = page.click(44, 56)
    page.move(116, 56)
    page.until("clickgrain.stage.guess.shown")
    seen = page.page.evaluate("clickgrain.stage.guess.shown.bits.reduce((sum, bit) => sum + bit, 0)")
    assert page.objects() == [made]  # nothing is written
    (grown,) = page.click(116, 56)
    assert grown["area"] == seen > made["area"]
    page.move(100, 40)
    page.page.keyboard.down("n")
    page.until("clickgrain.stage.guess.shown && clickgrain.stage.guess.label === 0")
    less = page.page.evaluate("clickgrain.stage.guess.shown.bits.reduce((sum, bit) => sum + bit, 0)")
    page.page.keyboard.up("n")
    (taken,) = page.click(100, 40, button="right")
    assert taken["area"] == less < grown["area"]


def test_a_click_waits_for_no_preview(server, tab):
    page = tab(auto=True).open(server.address, "photo10")
    page.page.route("**/preview?*", lambda route: None)  # is never answered
    with page.page.expect_request("**/preview?*"):
        page.move(44, 56)
    (made,) = page.click(44, 56)
    with page.page.expect_request("**/preview?*object=*"):
        page.move(116, 56)
    (grown,) = page.click(116, 56)
    assert grown["area"] > made["area"]
    page.page.unroute_all(behavior="ignoreErrors")


def test_the_outline_of_the_object_in_hand_shows_on_black_and_on_white(server, tab):
    page = tab(auto=True).open(server.address, "photo05")
    page.click(44, 56)
    page.move(150, 110)
    page.frame()
    seen = page.page.evaluate("""(() => {
        const { top } = clickgrain.stage, { width, height } = top.canvas;
        const { data } = top.getImageData(0, 0, width, height);
        let white = 0, dark = 0;
        for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200) {
            const [r, g, b] = data.subarray(i, i + 3);
            if (Math.min(r, g, b) > 235) white++;
            if (Math.max(r, g, b) < 40) dark++;
        }
        return [white, dark];
    })()""")
    assert min(seen) > 100


def test_outlines_only_and_nothing_while_a_key_is_held(server, tab, expect):
    page = tab(auto=True).open(server.address, "photo06")
    page.click(44, 56)
    page.press("Enter", wait=False)
    at = "(() => { const { canvas } = clickgrain.stage.overlay, [x, y] = %s;"
    at += " return canvas.getContext('2d').getImageData(x, y, 1, 1).data[3]; })()"
    assert page.page.evaluate(at % "[44, 56]") > 0
    page.page.locator(".view summary").click()
    page.page.get_by_label("Outlines only").check()
    page.frame()
    assert page.page.evaluate(at % "[44, 56]") == 0
    assert page.page.evaluate("""(() => { const { canvas } = clickgrain.stage.top;
        return clickgrain.stage.top.getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean); })()""")
    page.page.get_by_label("Outlines only").uncheck()
    pixels = "clickgrain.stage.base.getImageData(0, 0, clickgrain.stage.base.canvas.width, 400).data.join()"
    page.frame()
    shown = page.page.evaluate(pixels)
    page.page.keyboard.down("v")
    page.until("clickgrain.stage.bare")
    page.frame()
    assert page.page.evaluate(pixels) != shown
    page.page.keyboard.up("v")
    page.until("!clickgrain.stage.bare")
    page.frame()
    assert page.page.evaluate(pixels) == shown


def test_colors_are_by_label_or_by_object_and_unlike_the_photo(server, tab):
    page = tab(auto=True).open(server.address, "photo07")
    page.page.evaluate("clickgrain.annotator.changeProject({ kind: 'label.add', name: 'cog', colour: '#ff0000' })")
    page.click(44, 56)
    page.press("Enter", wait=False)
    page.click(116, 56)
    colours = """(() => { const { state } = clickgrain.store, { image } = state;
        return image.document.objects.map((each) => image.colour(each, state)); })()"""
    first, second = page.page.evaluate(colours)
    assert first != second
    green = page.page.evaluate("""import("/page/core/color.js").then(({ PALETTE, paletteFor }) => {
        const kept = paletteFor(Uint8ClampedArray.from({ length: 400 }, (_, i) => [0x8f, 0xb3, 0x39, 255][i % 4]));
        return [PALETTE.includes("#8fb339"), kept.includes("#8fb339"), kept.length]; })""")
    assert green == [True, False, 8]
    used = page.page.evaluate("clickgrain.store.state.image.palette")
    assert len(used) == 8  # of twelve
    assert {first, second} <= set(used)
    page.page.evaluate("clickgrain.annotator.giveLabel(clickgrain.store.state.labels.at(-1).id)")
    page.until(f"{colours}[1] === '#ff0000'")
    page.page.locator(".view summary").click()
    page.page.get_by_label("A color for each object").check()
    page.until(f"{colours}[1] !== '#ff0000'")


def test_a_row_lights_its_object_and_the_other_way_round(server, tab):
    page = tab(auto=True).open(server.address, "photo08")
    page.click(44, 56)
    page.press("Enter", wait=False)
    row = page.page.get_by_role("grid", name="Objects, topmost first").get_by_role("row")
    drawn = """(() => { const { canvas } = clickgrain.stage.top;
        return clickgrain.stage.top.getImageData(0, 0, canvas.width, canvas.height).data.some(Boolean); })()"""
    row.hover()
    page.until("clickgrain.store.state.lit === 1")
    page.frame()
    assert page.page.evaluate(drawn)  # the only outline there is
    page.page.mouse.move(2, 2)
    page.until("clickgrain.store.state.lit === null")
    page.frame()
    assert not page.page.evaluate(drawn)
    page.move(44, 56)
    page.until("document.querySelector('.thing.lit')")


def test_brightness_contrast_and_gamma_change_the_view_alone(server, tab):
    page = tab(auto=True).open(server.address, "photo09")
    bright = """(() => { const { base } = clickgrain.stage, { width, height } = base.canvas;
        const { data } = base.getImageData(width / 2, height / 2, 1, 1); return data[0] + data[1] + data[2]; })()"""
    was = page.page.evaluate(bright)
    page.page.locator(".view summary").click()
    for name in ("Brightness", "Contrast", "Gamma"):
        slider = page.page.get_by_label(name)
        slider.evaluate("(slider) => (slider.value = slider.max, slider.dispatchEvent(new Event('input')))")
        page.frame()
        assert page.page.evaluate(bright) != was
        page.page.get_by_role("button", name="As it is").click()
        page.frame()
        assert page.page.evaluate(bright) == was


def test_borders_and_sliders_have_a_contrast_of_three(server, tab):
    page = tab().open(server.address)
    for scheme in ("light", "dark"):
        page.page.emulate_media(color_scheme=scheme)
        least = page.page.evaluate("""(() => {
            const style = getComputedStyle(document.documentElement);
            const luminance = (name) => {
                const value = parseInt(style.getPropertyValue(name).trim().replace(/^#(.)(.)(.)$/, "#$1$1$2$2$3$3")
                    .slice(1), 16);
                const [r, g, b] = [value >> 16, (value >> 8) & 255, value & 255].map((each) => each / 255)
                    .map((each) => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4);
                return 0.2126 * r + 0.7152 * g + 0.0722 * b;
            };
            const grounds = ["--card", "--panel"].map(luminance), edge = luminance("--edge");
            return Math.min(...grounds.map((ground) =>
                (Math.max(ground, edge) + 0.05) / (Math.min(ground, edge) + 0.05)));
        })()""")
        assert least >= 3, scheme
        border = "getComputedStyle(document.querySelector('.foot select')).borderTopColor"
        edge = page.page.evaluate("""(() => {
            const probe = document.createElement("i");
            probe.style.color = "var(--edge)";
            document.body.append(probe);
            return getComputedStyle(probe).color;
        })()""")
        assert page.page.evaluate(border) == edge
    tracks = page.page.evaluate("""[...document.styleSheets].flatMap(({ cssRules }) => [...cssRules])
        .filter(({ selectorText }) => selectorText?.includes("slider-runnable-track"))
        .map(({ style }) => style.background)""")
    assert tracks == ["var(--edge)"]


def test_a_shrunk_image_says_at_which_size_it_is_worked_on(own_server, tab, expect):
    server = own_server(1)
    assert cv2.imwrite(str(server.folder / "wide.png"), np.zeros((90, 2600, 3), np.uint8))
    page = tab().open(server.address)
    page.page.get_by_label("Look for new photos").click()
    page.open(server.address, "wide")
    kilobytes = max(1, round((server.folder / "wide.png").stat().st_size / 1000))
    words = f"2600 x 90, worked on at 2560 x 89, {kilobytes} kB"
    expect(page.page.locator("#bar .where")).to_contain_text(words)


def test_window_and_level_show_what_lies_beyond_the_usual_grey(own_server, tab, expect):
    server = own_server(1)
    deep = (draw()[..., 0].astype(np.uint16)) * 4
    deep[100:104, 3:6] = 9000  # a few hot pixels: white whatever they are
    deep[101:103, 4] = 12_000
    assert cv2.imwrite(str(server.folder / "deep.png"), deep)
    page = tab().open(server.address)
    page.page.get_by_label("Look for new photos").click()
    page.open(server.address, "deep")
    page.page.get_by_text("View", exact=True).click()
    levels = page.page.locator(".deep")
    expect(levels).to_contain_text("of uint16")
    grey = """(() => {
        const canvas = new OffscreenCanvas(160, 120), context = canvas.getContext("2d");
        context.drawImage(clickgrain.store.state.image.picture, 0, 0);
        return [context.getImageData(3, 100, 1, 1).data[0], context.getImageData(4, 101, 1, 1).data[0]];
    })()"""
    assert page.page.evaluate(grey) == [255, 255]
    set_to = "(slider, value) => (slider.value = value, slider.dispatchEvent(new Event('input')))"
    levels.get_by_label("Window").evaluate(set_to, 99)  # as wide as it goes
    page.until(f"{grey}[0] < {grey}[1]")
    page.page.get_by_role("button", name="As it is").click()
    page.until(f"{grey}[0] === 255 && {grey}[1] === 255")
    page.page.get_by_label("Search images by name").fill("")
    page.open(server.address, "photo00")
    expect(levels).to_be_hidden()


def test_a_first_click_on_an_enlarged_image_is_answered_from_what_is_on_the_screen(server, tab):
    page = tab(auto=True).open(server.address, "photo11")
    for _ in range(4):
        page.page.keyboard.press("+")
    seen = page.page.evaluate("clickgrain.stage.seen")
    left, top, right, bottom = seen
    at = (left + right) // 2, (top + bottom) // 2
    with page.page.expect_response(lambda answer: "/preview?" in answer.url) as asked:
        page.move(*at)
    assert asked.value.url.endswith("".join(f"&view={side}" for side in seen))
    (item,) = page.click(*at)
    (step,) = item["steps"]
    assert step["view"] == seen
    page.page.keyboard.press("0")
    page.until("clickgrain.stage.fitted && clickgrain.stage.seen === null")
