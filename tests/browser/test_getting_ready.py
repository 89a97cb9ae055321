"""The very first image on a machine waits for the compiler: the page says so, and goes on by itself."""

import shutil
from pathlib import Path

from numba.core.caching import UserProvidedCacheLocator

import clickgrain


def fill(cache):
    """All that numba has compiled before, except the merging itself: compiling everything takes a minute."""
    for file in Path(clickgrain.__file__).parent.rglob("__pycache__/*.nb[ci]"):
        if not file.name.startswith("kernel._merge-"):
            folder = cache / UserProvidedCacheLocator.get_suitable_cache_subpath(str(file.parents[1] / "any.py"))
            folder.mkdir(exist_ok=True)
            shutil.copy2(file, folder)


def test_a_bare_machine_says_what_it_does(own_server, tab, expect, tmp_path):
    page = tab(forgive=True)  # on a very busy machine the tree is asked for again after a minute
    fill(tmp_path)
    server = own_server(environment={"NUMBA_CACHE_DIR": str(tmp_path)})
    page.page.goto(server.address)
    note = page.page.locator("#veil")
    expect(note).to_contain_text("compiling for this machine, once")
    assert page.page.locator("#stage").get_attribute("aria-busy") == "true"
    assert page.page.evaluate("clickgrain.store.state.image.picture.width") == 160  # there already, behind the note
    page.until("clickgrain.store.state.image.tree && !clickgrain.store.state.compiling", seconds=300)
    expect(note).to_be_hidden()
    (made,) = page.click(44, 56)
    assert made["area"] > 0
