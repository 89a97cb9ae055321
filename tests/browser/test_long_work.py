"""Long work shows its progress again after a reload, and its outcome after a lost connection."""

import json


def coco(name):
    box = [20, 20, 60, 20, 60, 60, 20, 60]
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": name, "width": 160, "height": 120}],
            "categories": [{"id": 1, "name": "thing"}],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [box], "bbox": [20, 20, 40, 40]}
            ],
        }
    ).encode()


def test_a_search_goes_on_over_a_reload(own_server, tab, expect):
    page = tab().open(own_server(40).address, "photo00")
    page.take(56, 56)
    page.press("m", wait=False)
    page.until("clickgrain.store.state.same")
    page.press("m", wait=False)
    dialog = page.page.locator(".same-dialog")
    expect(dialog).to_contain_text("looked at")
    page.page.reload()
    page.ready("photo00")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("option").first).to_be_visible()
    assert page.page.evaluate("clickgrain.store.state.jobs.filter((job) => job.kind === 'same').length") == 2
    dialog.get_by_role("button", name="Close").click()
    page.page.reload()
    page.ready("photo00")
    expect(dialog).to_have_count(0)


def test_an_import_whose_answer_is_lost_is_shown_all_the_same(own_server, tab, expect):
    page = tab(forgive=True).open(own_server(1).address, "photo00")
    content = coco("photo00.png")

    def lose(route):
        route.fetch(post_data=content)
        route.abort()

    page.page.route("**/api/import*", lose)
    page.press("Shift+E", wait=False)
    file = {"name": "mine.json", "mimeType": "application/json", "buffer": content}
    page.page.get_by_label("File to import").set_input_files(file)
    dialog = page.page.locator(".export-dialog")
    expect(dialog).to_contain_text("1 objects in 1 images")
    page.until("clickgrain.store.state.image.document.objects.length === 1")

    page.page.unroute("**/api/import*")
    page.page.route("**/api/import*", lambda route: route.abort())  # it never arrives
    page.page.get_by_label("File to import").set_input_files([])
    page.page.get_by_label("File to import").set_input_files(file)
    expect(dialog).to_contain_text("The import did not begin")
