"""What an annotator feels, measured in the page with performance.now(): headless chromium, real server, 640 x 480.

`python benchmarks/bench_annotate_page.py`. Wanted: hover under 50 ms at the 95th percentile from the pointer's
event to drawn pixels, click under 120 ms to a drawn mask (server and disk included), an encoded image under 150 ms,
all in tree mode. Needs chromium and Playwright; says so and ends where they are missing.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
IMAGES, MOVES, CLICKS, SWITCHES = 6, 300, 40, 24

# after the frame that answers an event has been painted, a message arrives
WATCH = """(() => {
  const stage = clickgrain.stage, painted = (call) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => call(performance.now());
    channel.port2.postMessage(0);
  };
  window.spans = { hover: [], click: [], switch: [] };
  stage.measured = (since) => painted((now) => spans.hover.push(now - since));
  let click = 0, change = 0, seq = -1, image = clickgrain.store.state.image;
  stage.element.addEventListener("pointerup", (event) => {
    [click, seq] = [event.timeStamp, clickgrain.store.state.image.queue.seq];
  }, true);
  addEventListener("keydown", (event) => (change = event.timeStamp), true);
  stage.element.addEventListener("painted", () => {
    const now = clickgrain.store.state.image, [pressed, key] = [click, change];
    if (pressed && now.queue.seq > seq) {
      click = 0;
      painted((end) => spans.click.push(end - pressed));
    }
    if (key && now !== image) {
      [change, image] = [0, now];
      painted((end) => spans.switch.push(end - key));
    }
  });
})()"""

PICTURE = """(() => {
  const { left, top } = clickgrain.stage.element.getBoundingClientRect(), { x, y, scale } = clickgrain.stage.view;
  const { width, height } = clickgrain.store.state.image.size;
  return { x: left + x, y: top + y, width: width * scale, height: height * scale };
})()"""


def photo(seed: int) -> Any:
    """A noisy image of a few hundred coloured blobs, H x W x 3."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.integers(0, 256, (18, 24, 3), dtype=np.uint8), (WIDTH, HEIGHT)).astype(np.int16)
    return np.clip(coarse + rng.normal(0, 8, coarse.shape), 0, 255).astype(np.uint8)


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """Address of `clickgrain annotate` on a folder."""
    command = [
        sys.executable,
        "-m",
        "clickgrain",
        "annotate",
        str(folder),
        "--model",
        "tree",
        "--no-browser",
        "--port",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r"http://\S+", line)
            assert found, f"the server did not start: {line!r}"
            yield found.group(0)
        finally:
            process.kill()


def wait(page: Any, expression: str, seconds: float = 60) -> None:
    """Until JavaScript is true; Playwright's own wait is barred by the page's CSP."""
    end = monotonic() + seconds
    while not page.evaluate(expression):
        assert monotonic() < end, f"never became true: {expression}"
        sleep(0.005)


def hover(page: Any, box: Any) -> None:
    """Wander over the whole image, through levels."""
    turns = np.linspace(0, 9 * np.pi, MOVES)
    for number, turn in enumerate(turns):
        reach = 0.48 * number / MOVES
        page.mouse.move(
            box["x"] + box["width"] * (0.5 + reach * np.cos(turn)),
            box["y"] + box["height"] * (0.5 + reach * np.sin(turn)),
        )
        if number % 50 == 49:
            page.mouse.wheel(0, -100)
        sleep(0.012)


def click(page: Any, box: Any) -> None:
    """New objects and corrections in turn."""
    rng = np.random.default_rng(0)
    for number in range(CLICKS):
        if number % 3 == 0:
            page.keyboard.press("Escape")
        before = page.evaluate("spans.click.length")
        x, y = box["x"] + box["width"] * rng.uniform(0.1, 0.9), box["y"] + box["height"] * rng.uniform(0.1, 0.9)
        page.mouse.move(x, y)
        page.keyboard.down("Shift") if number % 3 == 0 else None
        page.mouse.click(x, y, button="right" if number % 3 == 2 else "left")
        page.keyboard.up("Shift") if number % 3 == 0 else None
        wait(page, f"spans.click.length > {before}")


def switch(page: Any) -> None:
    """To and fro between images that are encoded."""
    for number in range(SWITCHES):
        before = page.evaluate("spans.switch.length")
        page.keyboard.press("d" if number % (2 * IMAGES - 2) < IMAGES - 1 else "a")
        wait(page, f"spans.switch.length > {before}")
        wait(page, "clickgrain.store.state.image.tree")
        sleep(0.7)  # an annotator looks at an image before the next


def report(name: str, spans: list[float], wanted: float) -> None:
    """One line: median and 95th percentile in milliseconds."""
    p50, p95 = np.percentile(spans, [50, 95])
    print(
        f"{name}: median {p50:.0f} ms, 95th percentile {p95:.0f} (wanted: under {wanted:.0f}), {len(spans)} times"
    )


def measure(playwright: Any, path: str, folder: Path) -> None:
    """Start, open, and go through all figures."""
    start = perf_counter()
    with server(folder) as address:
        listening = perf_counter() - start
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        opened = perf_counter()
        page.goto(address)
        wait(page, "window.clickgrain?.store.state.image?.tree")
        shown = perf_counter() - opened
        print(f"command to address: {listening:.1f} s, from there to a first image with regions: {shown:.1f} s")
        for key in "d" * (IMAGES - 1) + "a" * (IMAGES - 1):  # every image is encoded once
            before = page.evaluate("clickgrain.store.state.image.id")
            page.keyboard.press(key)
            wait(page, f"clickgrain.store.state.image.id !== {before} && clickgrain.store.state.image.tree")
        page.evaluate(WATCH)
        box = page.evaluate(PICTURE)
        hover(page, box)
        click(page, box)
        page.mouse.move(2, 2)
        switch(page)
        spans = page.evaluate("spans")
        browser.close()
    report("hover, event to drawn pixels", spans["hover"], 50)
    report("click, event to drawn mask", spans["click"], 120)
    report("switch to an encoded image", spans["switch"], 150)


def main() -> None:
    """Measure, or say what is missing."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        print("needs chromium on PATH and pip's playwright; nothing measured")
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for number in range(IMAGES):
            cv2.imwrite(str(Path(folder) / f"blobs{number}.png"), photo(number))
        measure(playwright, path, Path(folder))


if __name__ == "__main__":
    main()
