"""Ten thousand images in the list: only what is seen exists."""


def test_ten_thousand_names(shared, tab, expect):
    page = tab().open(shared.address)
    page.page.evaluate("""(() => {
        const { images } = clickgrain.store.state, far = (_, i) =>
            ({ ...images[0], name: `extra/far${i}.png`, status: i % 2 ? "done" : "todo" });
        clickgrain.store.set({ images: [...images, ...Array.from({ length: 10000 }, far)] });
    })()""")
    options = page.page.get_by_role("listbox", name="Images").get_by_role("option")
    expect(page.page.get_by_text("of 10024 done")).to_be_visible()
    assert options.count() < 40
    page.page.locator("#images .list").evaluate("(list) => (list.scrollTop = list.scrollHeight)")
    expect(page.page.get_by_role("option", name="far9999")).to_be_visible()
    assert options.count() < 40


def test_search_filter_and_status(shared, tab, expect):
    page = tab().open(shared.address, "photo16")
    page.press("/", wait=False)
    page.page.keyboard.type("PHOTO 17")
    options = page.page.get_by_role("listbox", name="Images").get_by_role("option")
    expect(options).to_have_count(1)
    expect(options).to_contain_text("photo17.png")
    page.page.get_by_label("Search images by name").fill("photo16")
    seq = page.seq()
    page.page.get_by_label("Status of the image").select_option("done")
    page.written(seq)
    page.page.get_by_label("Show images by status").select_option("todo")
    expect(options).to_have_count(0)
    page.page.get_by_label("Show images by status").select_option("done")
    expect(options).to_have_count(1)


def test_the_least_sure_images_come_first_and_d_follows(own_server, tab):
    page = tab(auto=True).open(own_server(4).address, "photo00")
    page.page.evaluate("""(async () => {
        const { annotator, gallery } = clickgrain;
        for (const [id, points] of [[2, [[44, 56]]], [3, [[110, 58], [8, 8]]], [4, [[110, 58]]]]) {
            await gallery.show(id);
            for (const [x, y] of points) await annotator.addSteps([{ type: "click", x, y, label: 1 }], true);
        }
    })()""")
    page.page.get_by_label("Show images by status").select_option(label="Least sure first")
    names = (
        "[...document.querySelectorAll('#images [role=option]')].sort((a, b) => a.ariaPosInSet - b.ariaPosInSet)"
    )
    page.until(f"{names}.length === 3")
    least = page.page.evaluate("fetch('/api/labelled').then((answer) => answer.json())")["least"]
    assert len(set(least.values())) > 1
    order = sorted(least, key=lambda image: (least[image], int(image)))
    assert page.page.evaluate(f"{names}.map((row) => row.id)") == [f"image-{image}" for image in order]
    page.page.evaluate(f"clickgrain.gallery.show({order[0]})")
    for image in order[1:]:
        page.press("d", wait=False)
        page.until(f"clickgrain.store.state.image.id === {image}")


def test_statistics_count_all_objects_by_source_and_by_label(own_server, tab, expect):
    page = tab().open(own_server(2).address)
    page.take(44, 56)
    page.press("l", wait=False)
    page.page.keyboard.type("disk")
    page.press("Enter")
    page.press("Control+d")  # a copy
    page.press("Escape", wait=False)
    page.press("w", wait=False)
    page.page.get_by_role("button", name="Accept all regions").click()
    page.until("clickgrain.store.state.image.document.objects.length > 2")
    parts = len(page.objects()) - 2
    page.press("Shift+S", wait=False)
    dialog = page.page.get_by_role("dialog")
    expect(dialog.locator(".tile").first).to_have_text(f"{parts + 2}objects in 1 image")
    rows = dialog.get_by_role("row")
    for name, count in (("by hand", 1), ("copied", 1), ("region", parts), ("disk", 2), ("unlabelled", parts)):
        expect(rows.filter(has=page.page.get_by_role("rowheader", name=name, exact=True))).to_contain_text(
            str(count)
        )


def test_the_address_of_an_image_opens_it(own_server, tab):
    address = own_server(3).address
    page = tab().open(f"{address}#2")
    page.ready("photo01")
    page.page.goto(f"{address}#3")  # typed over it: the page stays
    page.ready("photo02")
    page.page.goto(f"{address}#99")
    page.until("location.hash === '#3'")
    page.ready("photo02")
