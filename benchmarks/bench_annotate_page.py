"""What an annotator feels, measured in the page with performance.now(): headless chromium, real server, 640 x 480.

    python benchmarks/bench_annotate_page.py [MODEL]

MODEL as in `clickgrain annotate --model`, tree mode when not given. Wanted: a first image with regions within 3 s
of the command and the first object within 10 s (the best of 3 starts, caches of compiled code warm, chromium
running already); hover under 50 ms at the 95th percentile from the pointer's event to drawn pixels, click under
120 ms to a drawn mask (server and disk included), also among 300 objects, where one that changes is drawn within
60 ms; what a click would add, within 100 ms of the pointer's event (30 of which it rests); an encoded image under
150 ms: the best of 5 runs each (2 among 300), as other work on the machine only adds. 99 coins like one are to be
found, and taken, within 1 s; an object carried through 50 frames within 15 s. Needs chromium and Playwright; says
so and ends where they are missing.
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
IMAGES, MOVES, CLICKS, SWITCHES = 6, 300, 40, 20
FRAMES = 50
STARTS, RUNS = 3, 5

# after the frame that answers an event has been painted, a message arrives
WATCH = """(() => {
  const stage = clickgrain.stage, painted = (call) => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => call(performance.now());
    channel.port2.postMessage(0);
  };
  window.spans = { hover: [], click: [], switch: [], preview: [], key: [] };
  stage.measured = (since) => painted((now) => spans.hover.push(now - since));
  let click = 0, change = 0, moved = 0, seq = -1, image = clickgrain.store.state.image;
  stage.element.addEventListener("pointerup", (event) => {
    [click, seq] = [event.timeStamp, clickgrain.store.state.image.queue.seq];
  }, true);
  addEventListener("keydown", (event) => {
    [change, seq] = [event.timeStamp, clickgrain.store.state.image.queue.seq];
  }, true);
  stage.element.addEventListener("pointermove", (event) => (moved = event.timeStamp), true);
  const { arrived } = stage.guess;
  stage.guess.arrived = () => {
    const since = moved;
    arrived();
    requestAnimationFrame(() => painted((now) => spans.preview.push(now - since)));
  };
  stage.element.addEventListener("painted", () => {
    const now = clickgrain.store.state.image, [pressed, key] = [click, change];
    if (pressed && now.queue.seq > seq) {
      click = 0;
      painted((end) => spans.click.push(end - pressed));
    }
    if (key && now !== image) {
      [change, image] = [0, now];
      painted((end) => spans.switch.push(end - key));
    } else if (key && !pressed && now.queue.seq > seq) {
      change = 0;
      painted((end) => spans.key.push(end - key));
    }
  });
})()"""

SIDES = ("width", "height")
CROWDED = 300
CROWD = f"""(async () => {{
  const {{ annotator }} = clickgrain;
  await annotator.act({{ kind: "clear" }});
  for (let i = 0; i < {CROWDED}; i++) {{
    const points = [[(i * 37) % 640, (i * 53) % 480]];
    await annotator.addSteps([{{ type: "brush", points, radius: 9, label: 1 }}], true);
  }}
}})()"""

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
def server(folder: Path, model: str) -> Iterator[str]:
    """Address of `clickgrain annotate` on a folder."""
    command = [sys.executable, "-m", "clickgrain", "annotate", str(folder), "--model", model]
    command += ["--no-browser", "--port", "0"]
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


def preview(page: Any, box: Any) -> None:
    """An object in hand, and the pointer at rest on many places."""
    page.evaluate("clickgrain.store.set({ auto: true })")
    page.keyboard.down("Shift")
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.up("Shift")
    wait(page, "clickgrain.store.state.active !== null")
    rng = np.random.default_rng(1)
    for _ in range(CLICKS):
        before = page.evaluate("spans.preview.length")
        page.mouse.move(*(box[side] + box[long] * rng.uniform(0.1, 0.9) for side, long in zip("xy", SIDES)))
        wait(page, f"spans.preview.length > {before}")


def switch(page: Any) -> None:
    """To and fro between images that are encoded, and back to the first."""
    for number in range(SWITCHES):
        before = page.evaluate("spans.switch.length")
        page.keyboard.press("d" if number % (2 * IMAGES - 2) < IMAGES - 1 else "a")
        wait(page, f"spans.switch.length > {before}")
        wait(page, "clickgrain.store.state.image.tree")
        sleep(0.7)  # an annotator looks at an image before the next


def report(name: str, runs: list[list[float]], wanted: float) -> None:
    """One line: median and 95th percentile in milliseconds of the run whose 95th percentile is lowest."""
    p50, p95 = min((np.percentile(spans, [50, 95]) for spans in runs), key=lambda pair: float(pair[1]))
    times = f"best of {len(runs)} runs of {len(runs[0])}"
    print(
        f"{name}: median {p50:.0f} ms, 95th percentile {p95:.0f} (wanted: under {wanted:.0f}), {times}", flush=True
    )


def started(browser: Any, folder: Path, model: str) -> tuple[float, float, float]:
    """Seconds from the command to the address, to a first image with regions, and to the first object drawn."""
    for path in folder.glob("clickgrain.db*"):
        path.unlink()
    start = perf_counter()
    with server(folder, model) as address:
        listening = perf_counter() - start
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        wait(page, "window.clickgrain?.store.state.image?.tree")
        regions = perf_counter() - start
        box = page.evaluate(PICTURE)
        page.mouse.move(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
        page.mouse.wheel(0, -100)
        page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 3)
        wait(page, "clickgrain.store.state.image.document.objects.length")
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        first = perf_counter() - start
        page.close()
    return listening, regions, first


def run(page: Any) -> dict[str, list[float]]:
    """Hover, click and switch once, from an image without objects."""
    page.evaluate("clickgrain.annotator.act({ kind: 'clear' })")
    page.evaluate("clickgrain.store.set({ level: 0.6, auto: false })")
    page.evaluate(WATCH)
    box = page.evaluate(PICTURE)
    hover(page, box)
    click(page, box)
    preview(page, box)
    page.mouse.move(2, 2)
    switch(page)
    spans: dict[str, list[float]] = page.evaluate("spans")
    page.reload()
    wait(page, "window.clickgrain?.store.state.image?.tree")
    return spans


def coins(seed: int = 0) -> Any:
    """10 x 10 bright disks on a dark, noisy ground, H x W x 3."""
    rng = np.random.default_rng(seed)
    image = 70 + rng.normal(0, 5, (HEIGHT, WIDTH, 3))
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    for row, column in np.ndindex(10, 10):
        inside = np.hypot(x - 32 - 64 * column, y - 24 - 48 * row) < rng.uniform(15, 19)
        image[inside] = rng.uniform(150, 190) + rng.normal(0, 10, (np.count_nonzero(inside), 3))
    return np.clip(image, 0, 255).astype(np.uint8)


def same(browser: Any, model: str) -> tuple[float, int, float]:
    """(milliseconds from M to outlines drawn, how many, milliseconds to 99 objects of them)."""
    with tempfile.TemporaryDirectory() as folder:
        cv2.imwrite(str(Path(folder) / "coins.png"), coins())
        with server(Path(folder), model) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            wait(page, "window.clickgrain?.store.state.image?.tree")
            box = page.evaluate(PICTURE)
            page.evaluate("""() => {
                const { store, stage } = clickgrain, { tree } = store.state.image;
                const off = (node) => Math.abs(Math.log(tree.pixels[node] / 900));
                const coin = tree.path(tree.leafAt(224, 216)).sort((a, b) => off(a) - off(b))[0];
                store.set({ auto: false });
                stage.tools.levels.set(tree.level(coin));
            }""")
            place = box["x"] + box["width"] * 224 / WIDTH, box["y"] + box["height"] * 216 / HEIGHT
            page.mouse.click(*place)
            wait(page, "clickgrain.store.state.active !== null")
            found: tuple[float, int, float] = tuple(
                page.evaluate("""async () => {
                    const { store, annotator, open, run } = clickgrain, start = performance.now();
                    const frames = () =>
                        new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
                    await open.same();
                    await frames();
                    const found = performance.now(), { same } = store.state;
                    const least = [...same.left].sort((a, b) => b.score - a.score)[98]?.score ?? 0;
                    store.set({ same: { ...same, least } });
                    const count = same.left.filter(({ score }) => score >= least).length, begin = performance.now();
                    run("finish");
                    while (store.state.same) await frames();
                    await frames();
                    return [found - start, count, performance.now() - begin];
                }""")
            )
            page.close()
    return found


def carried(browser: Any, model: str) -> tuple[float, int]:
    """Seconds from T until an object is in hand where carrying it ended, and through how many images."""
    with tempfile.TemporaryDirectory() as folder:
        ground = photo(0)
        for number in range(FRAMES + 1):
            frame = ground.copy()
            cv2.circle(frame, (120 + 6 * number, 240), 50, (240, 240, 240), -1)
            cv2.imwrite(str(Path(folder) / f"frame{number:03}.png"), frame)
        with server(Path(folder), model) as address:
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.goto(address)
            wait(page, "window.clickgrain?.store.state.image?.tree")
            brush = "{ type: 'brush', points: [[120, 240]], radius: 50, label: 1 }"
            page.evaluate(f"clickgrain.annotator.addSteps([{brush}])")
            wait(page, "clickgrain.store.state.active !== null")
            start = perf_counter()
            page.keyboard.press("t")
            wait(
                page, "clickgrain.store.state.carry?.result?.images && clickgrain.store.state.active !== null", 120
            )
            seconds = perf_counter() - start
            count = page.evaluate("clickgrain.store.state.carry.result.images.length")
            page.close()
    return seconds, count


def crowded(browser: Any, folder: Path, model: str) -> dict[str, list[float]]:
    """Milliseconds from a click, and a key, to what it changes, in an image that holds many objects already."""
    with server(folder, model) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        wait(page, "window.clickgrain?.store.state.image?.tree")
        page.evaluate(CROWD)
        page.evaluate(WATCH)
        click(page, page.evaluate(PICTURE))
        for number in range(CLICKS):
            page.evaluate(f"clickgrain.annotator.take(clickgrain.store.state.image.document.objects[{number}].id)")
            before = page.evaluate("spans.key.length")
            page.keyboard.press("Shift+H")
            wait(page, f"spans.key.length > {before}")
        spans: dict[str, list[float]] = page.evaluate("spans")
        page.close()
    return spans


def measure(browser: Any, folder: Path, model: str) -> None:
    """Start, open, and go through all figures."""
    started(browser, folder, model)  # compiles, where that has not been done yet
    starts = [started(browser, folder, model) for _ in range(STARTS)]
    listening, regions, first = (min(times) for times in zip(*starts))
    print(
        f"from the command to the address {listening:.1f} s, to a first image with regions {regions:.1f} s", end=""
    )
    print(f" (wanted: under 3), to the first object {first:.1f} s (wanted: under 10), best of {STARTS}", flush=True)
    with server(folder, model) as address:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(address)
        wait(page, "window.clickgrain?.store.state.image?.tree")
        for key in "d" * (IMAGES - 1) + "a" * (IMAGES - 1):  # every image is encoded once
            before = page.evaluate("clickgrain.store.state.image.id")
            page.keyboard.press(key)
            wait(page, f"clickgrain.store.state.image.id !== {before} && clickgrain.store.state.image.tree")
        runs = [run(page) for _ in range(RUNS)]
    many = [crowded(browser, folder, model) for _ in range(2)]
    report("hover, event to drawn pixels", [spans["hover"] for spans in runs], 50)
    report("click, event to drawn mask", [spans["click"] for spans in runs], 120)
    report("preview of a click, event to drawn pixels", [spans["preview"] for spans in runs], 100)
    report(f"click among {CROWDED} objects", [spans["click"] for spans in many], 120)
    report(f"hiding one of {CROWDED} objects, key to drawn pixels", [spans["key"] for spans in many], 60)
    report("switch to an encoded image", [spans["switch"] for spans in runs], 150)
    search, count, taking = min((same(browser, model) for _ in range(STARTS)), key=lambda one: one[0] + one[2])
    print(
        f"find the same: {count} of 99 coins outlined after {search:.0f} ms, objects {taking:.0f} ms after a key",
        end="",
    )
    print(f" (wanted: under 1000 each), best of {STARTS}", flush=True)
    seconds, count = min(carried(browser, model) for _ in range(STARTS))
    print(f"carry on: {count} of {FRAMES} frames in {seconds:.1f} s (wanted: under 15), best of {STARTS}")


@contextmanager
def chromium() -> Iterator[Any]:
    """A headless browser; where there is none, the program says so and ends."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        path = None
    if path is None:
        print("needs chromium on PATH and pip's playwright; nothing measured")
        sys.exit(0)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def main() -> None:
    """Measure, or say what is missing."""
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        for number in range(IMAGES):
            cv2.imwrite(str(Path(folder) / f"blobs{number}.png"), photo(number))
        measure(browser, Path(folder), sys.argv[1] if sys.argv[1:] else "tree")


if __name__ == "__main__":
    main()
