"""The walk through four photos that README and the docs show: `python -m benchmarks.walk_annotate docs/images`.

Photos from scikit-image's wheel, the model in the package: point, turn the wheel, click; choose an outline; take
the whole image; find the same here; corners; what a click would add; a phone; twelve seconds of Learn.
`python -m benchmarks.count_actions` counts what a job of ten photos takes.
"""

import sys
import tempfile
from io import BytesIO
from pathlib import Path
from shutil import which
from typing import Any

from PIL import Image
from playwright.sync_api import sync_playwright

from benchmarks.bench_annotate_page import server, wait
from clickgrain.demo.photos import DemoPhoto, copy_photos

WIDTH, HEIGHT, SHOWN = 1280, 800, 960
PHOTOS = ("coffee.png", "astronaut.png", "chelsea.png", "coins.png")
COIN = (45, 125)
MINUTES = 0.2
PATIENCE_MS = 300_000
AT = """([x, y]) => {
  const { left, top } = clickgrain.stage.element.getBoundingClientRect(), { view } = clickgrain.stage;
  return [left + view.x + (x + 0.5) * view.scale, top + view.y + (y + 0.5) * view.scale];
}"""


def point(page: Any, x: int, y: int, level: float | None = None) -> tuple[float, float]:
    """Move to an image pixel, with the level set as the slider would."""
    if level is not None:
        page.evaluate(f"clickgrain.stage.tools.levels.set({level})")
    place: tuple[float, float] = tuple(page.evaluate(AT, [x, y]))
    page.mouse.move(*place)
    page.wait_for_timeout(200)
    return place


def act(page: Any, what: Any) -> None:
    """Do something that writes, and wait for the answer."""
    before = page.evaluate("clickgrain.store.state.image.queue.seq")
    what()
    wait(page, f"clickgrain.store.state.image.queue.seq > {before}")
    page.wait_for_timeout(300)


def take(page: Any, x: int, y: int, level: float, label: str) -> None:
    """An object of a region, labelled, and let go of."""
    place = point(page, x, y, level)
    act(page, lambda: page.mouse.click(*place))
    page.keyboard.press("l")
    page.keyboard.type(label)
    act(page, lambda: page.keyboard.press("Enter"))
    page.keyboard.press("Enter")


def show(page: Any, name: str) -> None:
    """Open a photo and wait for its regions."""
    page.get_by_role("option", name=name).click()
    wait(page, f"clickgrain.store.state.image.info.name === '{name}' && clickgrain.store.state.image.tree")
    page.evaluate("clickgrain.store.set({ auto: false })")
    page.wait_for_timeout(300)


def keep(page: Any, path: Path) -> None:
    """Write a small PNG of what is seen."""
    page.evaluate("clickgrain.annotator.say('')")
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    small = picture
    if picture.width > SHOWN:
        small = picture.resize((SHOWN, SHOWN * picture.height // picture.width), Image.Resampling.LANCZOS)
    small.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


def coffee(page: Any, out: Path) -> None:
    """Pointing shows the region; the wheel has walked up to the cup."""
    show(page, "coffee.png")
    take(page, 200, 290, 0.88, "saucer")
    point(page, 300, 165, 0.8)
    keep(page, out / "annotate-1-point.png")
    take(page, 300, 165, 0.8, "cup")


def astronaut(page: Any, out: Path) -> None:
    """Several objects, and outlines on offer for a click that may mean several things."""
    show(page, "astronaut.png")
    take(page, 225, 110, 0.61, "face")
    take(page, 225, 60, 0.64, "hair")
    take(page, 150, 350, 0.7, "suit")
    page.get_by_role("button", name="No label").click()
    page.get_by_label("Auto").check()
    place = point(page, 440, 420)
    act(page, lambda: page.mouse.click(*place))
    wait(page, "clickgrain.store.state.offers")
    page.wait_for_timeout(300)
    keep(page, out / "annotate-2-choose.png")


def chelsea(page: Any, out: Path) -> None:
    """The whole image as regions, before they are accepted."""
    show(page, "chelsea.png")
    take(page, 140, 115, 0.76, "eye")
    page.get_by_label("Auto").uncheck()
    page.keyboard.press("w")
    point(page, 260, 190, 0.8)
    keep(page, out / "annotate-3-whole.png")


def coins(page: Any, out: Path) -> None:
    """One coin by a click, the others outlined, above a similarity that a slider sets."""
    show(page, "coins.png")
    page.evaluate("clickgrain.store.set({ whole: false })")
    page.get_by_label("Auto").check()
    place = point(page, *COIN)
    act(page, lambda: page.mouse.click(*place))
    page.keyboard.press("l")
    page.keyboard.type("coin")
    act(page, lambda: page.keyboard.press("Enter"))
    page.keyboard.press("m")
    wait(page, "clickgrain.store.state.same")
    page.evaluate("clickgrain.store.set({ same: { ...clickgrain.store.state.same, least: 0.4 } })")
    point(page, 180, 30)
    keep(page, out / "annotate-4-same.png")


def corners(page: Any, out: Path) -> None:
    """A coin as a polygon, near by."""
    act(page, lambda: page.keyboard.press("Enter"))
    place = point(page, *COIN)
    page.keyboard.press("c")
    page.mouse.click(*place)
    page.keyboard.press("p")
    page.mouse.move(*place)
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    page.wait_for_timeout(500)
    keep(page, out / "annotate-5-corners.png")


def learned(page: Any, out: Path) -> None:
    """What Learn would learn from; then, twelve seconds of it, and what it says before it switches."""
    page.evaluate("clickgrain.open.learn()")
    page.wait_for_timeout(500)
    keep(page, out / "annotate-8-learn.png")
    page.get_by_label("Minutes").fill(str(MINUTES))
    page.get_by_role("button", name="Learn", exact=True).click()
    wait(page, "document.querySelector('.learn .report')", 3600)
    page.wait_for_timeout(500)
    keep(page, out / "annotate-9-gain.png")


def previewed(page: Any, out: Path) -> None:
    """With the saucer in hand, what a click on the table would add."""
    show(page, "coffee.png")
    page.get_by_label("Auto").check()
    page.get_by_role("row", name="saucer").click()
    page.keyboard.press("c")
    point(page, 430, 90)
    wait(page, "clickgrain.stage.guess.change")
    page.wait_for_timeout(300)
    keep(page, out / "annotate-6-preview.png")


def phone(browser: Any, address: str, out: Path) -> None:
    """The same page on a phone: the next object begins at the thumb."""
    page = browser.new_page(viewport={"width": 390, "height": 720}, has_touch=True, is_mobile=True)
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address)
    wait(page, "window.clickgrain?.store.state.image?.tree")
    page.evaluate(
        "clickgrain.gallery.show(clickgrain.store.state.images.find((one) => one.name === 'astronaut.png').id)"
    )
    wait(page, "clickgrain.store.state.image.info.name === 'astronaut.png' && clickgrain.store.state.image.tree")
    page.touchscreen.tap(*page.evaluate(AT, [225, 110]))
    page.wait_for_timeout(800)
    keep(page, out / "annotate-7-phone.png")


def main(out: Path) -> None:
    """Walk, and keep nine pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        photos = Path(folder) / "photos"
        photos.mkdir()
        copy_photos(tuple(DemoPhoto(name) for name in PHOTOS), photos)
        with server(photos, "default") as address:
            browser = playwright.chromium.launch(executable_path=which("chromium"), args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.set_default_timeout(PATIENCE_MS)
            page.goto(address)
            wait(page, "window.clickgrain?.store.state.image?.tree")
            page.get_by_role("button", name="Close: I know how").click()
            for visit in (coffee, astronaut, chelsea, coins, corners, previewed):
                visit(page, out)
            phone(browser, address, out)
            learned(page, out)
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
