"""Work goes out as COCO and comes back as the same objects."""

import json
import zipfile


def test_out_and_in_again(own_server, tab, tmp_path, expect):
    server = own_server(2)
    page = tab().open(server.address, "photo00")
    page.take(44, 56)
    page.press("l", wait=False)
    page.page.keyboard.type("disk")
    page.press("Enter")
    page.press("Enter", wait=False)
    page.take(112, 56, notches=0)
    before = [(each["bbox"], each["area"], each["label"]) for each in page.objects()]
    page.press("Shift+E", wait=False)
    page.page.get_by_label("COCO, run lengths").check()
    with page.page.expect_download() as download:
        page.page.get_by_role("link", name="Download").click()
    archive = tmp_path / "export.zip"
    download.value.save_as(archive)
    with zipfile.ZipFile(archive) as files:
        (name,) = [name for name in files.namelist() if name.endswith(".json")]
        coco = files.read(name)
    assert len(json.loads(coco)["annotations"]) == 2
    page.page.keyboard.press("Escape")
    page.press("Delete")
    page.press("k", wait=False)
    page.press("Delete")
    assert page.objects() == []

    (tmp_path / "coco.json").write_bytes(coco)
    page.press("Shift+E", wait=False)
    page.page.get_by_label("File to import").set_input_files(tmp_path / "coco.json")
    expect(page.page.get_by_role("dialog")).to_contain_text("2 objects in 1 images")
    page.until("clickgrain.store.state.image.document.objects.length === 2")
    after = [(each["bbox"], each["area"], each["label"]) for each in page.objects()]
    assert sorted(map(str, after)) == sorted(map(str, before))

    page.page.get_by_label("File to import").set_input_files([])
    page.page.get_by_label("File to import").set_input_files(tmp_path / "coco.json")
    expect(page.page.get_by_role("dialog")).to_contain_text("2 are there already")
    assert len(page.objects()) == 2  # importing twice asks
    page.page.get_by_role("button", name="Add a second time").click()
    page.until("clickgrain.store.state.image.document.objects.length === 4")
    page.page.keyboard.press("Escape")
    page.page.locator("#stage").focus()
    page.press("Control+z")
    assert len(page.objects()) == 2  # the second import
    page.press("Control+z")
    assert page.objects() == []  # and the first
    page.press("Control+Shift+z")
    assert len(page.objects()) == 2
