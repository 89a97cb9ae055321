"""Every window size, long names, keyboards and screen readers."""

import pytest

from tests.browser.conftest import Server

LONG = "a_very_long_name_of_a_photo_from_the_microscope_2026-11-28_plate07_well_C12_channel3.png"
TROUBLE = """(() => {
    const trouble = [], seen = (each) => each.getClientRects().length && each.getBoundingClientRect().width > 1,
        name = (each) => `${each.tagName} ${each.id} ${each.className}`;
    const parts = ["#bar", "#bar .where", "#dock", "#dock .group", ".foot", ".foot .row", ".head", ".line"]
        .map((each) => `${each} > *`).join();
    for (const each of [...document.querySelectorAll(parts)].filter(seen)) {
        const a = each.getBoundingClientRect(), around = each.parentElement.getBoundingClientRect();
        if (a.left < -1 || a.right > innerWidth + 1) trouble.push(`${name(each)} is off the screen`);
        if (a.right > around.right + 1) trouble.push(`${name(each)} sticks out`);
        for (const other of each.parentElement.children) {
            if (!seen(other) || !(each.compareDocumentPosition(other) & 4)) continue;
            const b = other.getBoundingClientRect();
            if (a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1)
                trouble.push(`${name(each)} and ${name(other)} overlap`);
        }
    }
    return trouble;
})()"""
ACCESS = """(() => {
    const trouble = [], interactive = "button, a[href], input, select, textarea, summary";
    const named = (each) => [each.getAttribute("aria-label"), each.textContent, each.labels?.[0]?.textContent]
        .some((words) => words?.trim());
    if (document.querySelectorAll("h1").length !== 1) trouble.push("not one h1");
    const ids = [...document.querySelectorAll("[id]")].map(({ id }) => id);
    if (new Set(ids).size < ids.length) trouble.push("an id is there twice");
    for (const each of document.querySelectorAll(interactive)) {
        if (each.offsetParent && !named(each)) trouble.push(`no name: ${each.outerHTML.slice(0, 120)}`);
        if (each.parentElement.closest("button, a, [role=option], [role=button]"))
            trouble.push(`nested: ${each.outerHTML.slice(0, 120)}`);
    }
    for (const each of document.querySelectorAll("img:not([alt])")) trouble.push(`no alt: ${each.src}`);
    for (const each of document.querySelectorAll("body *")) {
        const scrolls = each.scrollHeight > each.clientHeight + 1
            && /auto|scroll/.test(getComputedStyle(each).overflowY);
        if (scrolls && each.tabIndex < 0 && !each.querySelector(`${interactive}, [tabindex='0']`))
            trouble.push(`scrolls, but not by keys: ${each.className}`);
    }
    return trouble;
})()"""


@pytest.fixture(scope="module")
def server(browser, photos):
    """Two photos, one with a long name."""
    folder = photos(2)
    (folder / "photo01.png").rename(folder / LONG)
    server = Server(folder)
    yield server
    server.kill()


@pytest.mark.parametrize("width", [390, 600, 761, 800, 1000, 1101, 1280, 1920])
def test_nothing_overlaps_or_sticks_out(server, tab, width):
    page = tab(touch=width < 500, size=(width, 800), auto=True).open(server.address)
    page.page.evaluate(f"""(async () => {{
        const {{ annotator, gallery, store }} = clickgrain;
        await gallery.show(store.state.images.find(({{ name }}) => name.includes("a_very")).id);
        if (!store.state.labels.length) {{
            await annotator.changeProject({{ kind: "label.add", name: "label with " + {LONG!r} }});
            await annotator.giveLabel(1);
            await annotator.addSteps([{{ type: "click", x: 46, y: 56, label: 1 }}], true);
        }}
        annotator.take(store.state.image.document.objects[0].id);
    }})()""")
    page.ready("a_very")
    for work in ("", "clickgrain.open.same()", "clickgrain.run('whole')", "clickgrain.store.set({tool: 'brush'})"):
        page.page.evaluate(f"(async () => {{ await ({work or 0}); }})()")
        page.page.wait_for_timeout(250)
        assert page.page.evaluate(TROUBLE) == [], work
    for drawer in ("Images", "Objects") if width <= 760 else ():
        page.page.locator(f"#bar [aria-label={drawer}]").click()
        assert page.page.evaluate(TROUBLE) == [], drawer


def test_what_a_screen_reader_needs_is_there(server, tab):
    page = tab(auto=True).open(server.address, "photo00")
    page.click(44, 56)
    assert page.page.evaluate(ACCESS) == []
    for dialog in ("help", "label", "export", "statistics", "learn"):
        page.page.evaluate(f"clickgrain.open.{dialog}()")
        page.page.wait_for_timeout(300)
        assert page.page.evaluate(ACCESS) == [], dialog
        page.page.keyboard.press("Escape")


def test_a_long_name_is_cut_in_the_middle_and_whole_on_hover(server, tab):
    page = tab().open(server.address, "a_very")
    title = page.page.locator("#bar .title")
    assert title.get_attribute("title").startswith(LONG)
    head, tail = (title.locator("span").nth(i) for i in (0, 1))
    page.page.wait_for_function("(each) => each.scrollWidth > each.clientWidth", arg=head.element_handle())
    assert tail.inner_text() == "el3.png"
    assert tail.evaluate("(each) => each.scrollWidth <= each.clientWidth")


def test_the_object_in_hand_is_shown_whole_in_a_long_list(own_server, tab):
    page = tab().open(own_server(1).address)
    page.page.evaluate("""(async () => {
        const { annotator } = clickgrain;
        for (let i = 0; i < 24; i++) {
            const points = [[8 + (i % 8) * 18, 12 + Math.floor(i / 8) * 30]];
            await annotator.addSteps([{ type: "brush", points, radius: 4, label: 1 }], true);
        }
    })()""")
    for number in (1, 24, 12):
        page.page.evaluate(f"clickgrain.annotator.turn(() => clickgrain.annotator.take({number}))")
        page.until(f"clickgrain.store.state.active === {number}")
        page.frame()
        list_, details = (page.page.locator(each).bounding_box() for each in (".things", ".details"))
        assert details["y"] >= list_["y"] - 1
        assert details["y"] + details["height"] <= list_["y"] + list_["height"] + 1


def test_a_search_says_nothing_found_and_enter_opens_the_first(server, tab, expect):
    page = tab().open(server.address, "photo00")
    page.find("no such photo")
    expect(page.page.get_by_text("Nothing found.")).to_be_visible()
    page.find("microscope")
    expect(page.page.get_by_text("Nothing found.")).to_be_hidden()
    page.page.keyboard.press("Enter")
    page.ready("a_very")


def test_the_model_is_named_at_every_width(server, tab, expect):
    for width in (390, 800, 1920):
        page = tab(size=(width, 800)).open(server.address)
        expect(page.page.locator("#bar .model")).to_be_visible()
        assert "tree" in page.page.locator("#bar .model").inner_text()


def test_lists_are_as_wide_as_they_are_dragged_and_stay_so(server, tab):
    page = tab().open(server.address, "photo00")
    edge = page.page.get_by_role("separator", name="Width of the image list")
    width = "document.getElementById('images').offsetWidth"
    assert page.page.evaluate(width) == 232
    box = edge.bounding_box()
    page.page.mouse.move(box["x"] + 4, 300)
    page.page.mouse.down()
    page.page.mouse.move(box["x"] + 104, 300, steps=4)
    page.page.mouse.up()
    page.page.mouse.move(600, 300)
    assert page.page.evaluate(width) == 332
    edge.focus()
    page.page.keyboard.press("ArrowLeft")
    assert page.page.evaluate(width) == 316
    assert edge.get_attribute("aria-valuenow") == "316"
    page.open(server.address, "photo00")
    assert page.page.evaluate(width) == 316
    edge.dblclick()
    assert page.page.evaluate(width) == 232
    objects = page.page.get_by_role("separator", name="Width of the object list")
    objects.focus()
    page.page.keyboard.press("ArrowLeft")  # its edge goes to the left: it grows
    assert page.page.evaluate("document.getElementById('objects').offsetWidth") == 272 + 16
