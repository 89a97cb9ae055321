"""How many actions a job of ten photos takes, now and before: `python -m benchmarks.count_actions`.

Ten drawn photos of twelve coins and two boxes, all to be cut out, labelled and marked as done, in tree mode. Both
ways are really gone, in a headless chromium, and the page's own events are counted: every key (a shortcut is one, a
letter of a name is one), every press of a mouse button, every notch of the wheel. *Before* uses only what the page
could do before labels had keys and stayed, and before *Find the same* looked in the open image: every object by a
click and Enter, all of one kind chosen, and named in the dialog. Wanted: at least 30 % fewer actions, and objects
that are no worse.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.bench_annotate_page import chromium, server, wait
from benchmarks.walk_annotate import AT
from clickgrain.types import Bool

PHOTOS, WANTED = 10, 0.7
HEIGHT, WIDTH = 264, 448
COINS = [(34 + 63 * column, 34 + 65 * row) for row in range(2) for column in range(6)]
LIKE = 0.37
"""Where on the slider of *Find the same* a click takes all coins."""
BOXES = [(60, 170, 90, 60), (250, 180, 110, 50)]
COUNT = """(() => {
  window.actions = 0;
  const modifiers = ["Control", "Shift", "Alt", "Meta"];
  addEventListener("keydown", ({ key, repeat }) => repeat || modifiers.includes(key) || actions++, true);
  for (const name of ["pointerdown", "wheel"]) addEventListener(name, () => actions++, true);
})()"""


def photo(number: int) -> tuple[npt.NDArray[np.uint8], list[Bool]]:
    """(H x W x 3 BGR, masks): coins, then boxes, on a dark, noisy ground."""
    rng = np.random.default_rng(number)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image, masks = 70 + rng.normal(0, 5, (HEIGHT, WIDTH, 3)), []
    for left, top in COINS:
        masks.append(np.hypot(x - left, y - top) < rng.uniform(20, 26))
        image[masks[-1]] = rng.uniform(150, 190) + rng.normal(0, 10, (masks[-1].sum(), 3))
    for left, top, width, height in BOXES:
        masks.append((x >= left) & (x < left + width) & (y >= top) & (y < top + height))
        image[masks[-1]] = rng.normal((60, 90, 200), 6, (masks[-1].sum(), 3))
    return np.clip(image, 0, 255).astype(np.uint8), masks


def did(page: Any, work: Callable[[], Any]) -> None:
    """Do something that writes, and wait for the answer."""
    before = page.evaluate("clickgrain.store.state.image.queue.seq")
    work()
    wait(page, f"clickgrain.store.state.image.queue.seq > {before} && !clickgrain.annotator.busy")


def click(page: Any, x: int, y: int) -> None:
    """Click an image pixel."""
    did(page, lambda: page.mouse.click(*page.evaluate(AT, [x, y])))


def named(page: Any, name: str) -> None:
    """Label what is chosen, in the dialog."""
    page.keyboard.press("l")
    page.keyboard.type(name)
    did(page, lambda: page.keyboard.press("Enter"))


def middles() -> list[tuple[int, int]]:
    """(x, y) in every box."""
    return [(left + width // 2, top + height // 2) for left, top, width, height in BOXES]


def before(page: Any, first: bool) -> None:
    """Every object by a click and Enter; all coins chosen and named at once, the boxes one by one."""
    del first
    for x, y in COINS:
        click(page, x, y)
        page.keyboard.press("Enter")
    page.keyboard.press("Control+a")
    named(page, "coin")
    page.keyboard.press("Escape")
    for x, y in middles():
        page.evaluate("clickgrain.store.set({ label: null })")  # none stayed
        click(page, x, y)
        named(page, "box")
        page.keyboard.press("Enter")


def now(page: Any, first: bool) -> None:
    """One coin, its likes, the boxes; labels by their keys once they are there."""
    click(page, *COINS[0])
    named(page, "coin") if first else did(page, lambda: page.keyboard.press("1"))
    page.keyboard.press("m")
    wait(page, "clickgrain.store.state.same")
    slider = page.get_by_label("Least similarity")
    slider.click(position={"x": LIKE * slider.bounding_box()["width"], "y": 12})
    wait(page, f"document.querySelector('.likes output').textContent.startsWith('{len(COINS) - 1} ')")
    did(page, lambda: page.keyboard.press("Enter"))
    wait(page, "!clickgrain.store.state.same && !clickgrain.annotator.busy")
    for place, (x, y) in enumerate(middles()):
        click(page, x, y)
        if place == 0:  # the label stays for the second one
            named(page, "box") if first else did(page, lambda: page.keyboard.press("2"))
        page.keyboard.press("Enter")


def go(browser: Any, way: Callable[[Any, bool], None]) -> tuple[int, float, int]:
    """(actions, mean IoU of the drawn things with the nearest object of their label, objects) of a way."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = [photo(number) for number in range(PHOTOS)]
        for number, (image, _) in enumerate(drawn):
            cv2.imwrite(str(Path(folder) / f"photo{number:02}.png"), image)
        with server(Path(folder), "tree") as address:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            wait(page, "window.clickgrain?.store.state.image?.tree", 120)
            page.evaluate("clickgrain.store.set({ label: null })")
            page.evaluate(COUNT)
            for number in range(PHOTOS):
                wait(
                    page,
                    f"clickgrain.store.state.image.id === {number + 1} && clickgrain.store.state.image.tree",
                    60,
                )
                way(page, number == 0)
                page.keyboard.press("Control+Enter")
            done = "clickgrain.store.state.images.every(({ status }) => status === 'done')"
            wait(page, done, 60)
            actions = int(page.evaluate("actions"))
            page.close()
        return actions, *quality(Path(folder), [masks for _, masks in drawn])


def quality(folder: Path, drawn: list[list[Bool]]) -> tuple[float, int]:
    """(mean IoU, objects) of what is in the project file."""
    from clickgrain.annotate.project import open_project

    project, found, count = open_project(folder), [], 0
    try:
        labels = {label.name: label.id for label in project.logs.labels().document.labels}
        for image, masks in enumerate(drawn, 1):
            objects = project.logs.history(image).document.objects
            count += len(objects)
            made = [(item.label, project.logs.mask(item.mask or "")) for item in objects]
            for place, mask in enumerate(masks):
                label = labels["coin" if place < len(COINS) else "box"]
                ious = [(mask & one).sum() / (mask | one).sum() for own, one in made if own == label]
                found.append(max(ious, default=0.0))
    finally:
        project.close()
    return float(np.mean(found)), count


def main() -> None:
    """Go both ways, and print what they took."""
    with chromium() as browser:
        results = {way.__name__: go(browser, way) for way in (before, now)}
    for name, (actions, iou, objects) in results.items():
        print(f"{name}: {actions} actions for {PHOTOS} photos, {objects} objects, mean IoU {iou:.3f}")
    share = results["now"][0] / results["before"][0]
    print(f"{100 * (1 - share):.0f} % fewer actions (wanted: at least {100 * (1 - WANTED):.0f} %)")


if __name__ == "__main__":
    main()
