"""A real browser before a real server: Debian's chromium, driven by Playwright, on drawn photos.

Without them the stories are skipped, except where CLICKGRAIN_BROWSER=required makes their absence a failure.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

REQUIRED = os.environ.get("CLICKGRAIN_BROWSER") == "required"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WIDTH, HEIGHT = 160, 120
DISK, SQUARE = (44, 56, 26), (92, 34, 44)
"""The drawn disk's (x, y, radius) and the square's (x, y, side), before an image's shift."""


def chromium():
    """Path of the browser, or the reason why there is none."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return None, "playwright is not installed (pip install playwright; it needs no browser of its own)"
    path = os.environ.get("CLICKGRAIN_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return path, "no chromium on PATH; install it, or name it in CLICKGRAIN_CHROMIUM"


def draw(shift=0, seed=0):
    """A red disk and a blue square on green, slightly noisy; `shift` moves both to the right."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    image = np.full((HEIGHT, WIDTH, 3), (70, 130, 80), np.float64)
    image[np.hypot(x - DISK[0] - shift, y - DISK[1]) < DISK[2]] = (205, 60, 50)
    left, top, side = SQUARE[0] + shift, SQUARE[1], SQUARE[2]
    image[top : top + side, left : left + side] = (50, 80, 190)
    noise = np.random.default_rng(seed).normal(0, 5, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """Write a folder of drawn photos: photos(5) or photos(5, shift=3)."""

    def write(count, shift=2):
        folder = tmp_path_factory.mktemp("photos")
        for number in range(count):
            image = draw(shift * (number % 8), seed=number)
            assert cv2.imwrite(str(folder / f"photo{number:02}.png"), image[..., ::-1])
        return folder

    return write


class Server:
    """`clickgrain annotate` in a process of its own, in tree mode unless told."""

    def __init__(self, folder, environment=None, arguments=(), model="tree"):
        self.folder, self.port, self.environment = folder, 0, os.environ | (environment or {})
        self.arguments, self.model = arguments, model
        self.start()

    def start(self):
        """Start, or start again on the same port; returns once the address is known."""
        command = [sys.executable, "-m", "clickgrain", "annotate", str(self.folder), "--model", self.model]
        self.log = (Path(self.folder).parent / f"{Path(self.folder).name}.log").open("a")
        self.process = subprocess.Popen(
            [*command, "--no-browser", "--port", str(self.port), *self.arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        for line in self.process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/", line):
                self.address, self.port = found.group(0), int(found.group(1))
                return
        raise AssertionError(f"the server did not start: {Path(self.log.name).read_text()}")

    def kill(self):
        """kill -9."""
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()


@pytest.fixture(scope="session")
def browser():
    """Chromium, headless."""
    path, reason = chromium()
    if path is None:
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def expect(browser):
    """Playwright's assertions, which wait; patiently, as this machine may have other work."""
    from playwright.sync_api import expect

    expect.set_options(timeout=90_000)
    return expect


@pytest.fixture(scope="session")
def shared(browser, photos):
    """One server for all stories that need none of their own; each works on an image that no other one opens."""
    server = Server(photos(24))
    yield server
    server.kill()


@pytest.fixture
def own_server(browser, photos):
    """Start a server of a story's own on as many photos as it wants."""
    servers = []

    def start(count=3, environment=None, arguments=(), model="tree"):
        servers.append(Server(photos(count), environment, arguments, model))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


class Tab:
    """A tab of the page, in image pixels and in the user's words."""

    def __init__(self, page):
        self.page = page
        self.complaints = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: line.type == "error" and self.complaints.append(line.text))

    def until(self, expression, seconds=90.0):
        """Wait until JavaScript is true; returns its value. (Playwright's own wait is barred by our CSP.)"""
        end = time.monotonic() + seconds
        while not (value := self.page.evaluate(expression)):
            assert time.monotonic() < end, f"never became true: {expression}"
            time.sleep(0.02)
        return value

    def open(self, address, name=None):
        """Open the page, and an image by name."""
        self.page.goto(address)
        self.ready()
        if name:
            self.find(name).click()
            self.ready(name)
            self.page.get_by_label("Search images by name").fill("")
            self.page.locator("#stage").focus()
        return self

    def find(self, name):
        """The row of an image in the list, searched for as there may be too many to see."""
        self.page.get_by_label("Search images by name").fill(name)
        return self.page.get_by_role("listbox", name="Images").get_by_role("option", name=name)

    def ready(self, name=""):
        """Wait for an image and its regions."""
        self.until(
            f"window.clickgrain?.store.state.image?.tree && !clickgrain.store.state.opening"
            f" && clickgrain.store.state.image.info.name.includes('{name}')",
            seconds=240.0,  # a bare, busy machine compiles first
        )

    def screen(self, x, y):
        """Where an image pixel is on the page."""
        box = self.page.locator("#stage").bounding_box()
        view = self.page.evaluate("clickgrain.stage.view")
        return box["x"] + (x + 0.5) * view["scale"] + view["x"], box["y"] + (y + 0.5) * view["scale"] + view["y"]

    def move(self, x, y):
        """Point at an image pixel."""
        self.page.mouse.move(*self.screen(x, y))
        self.frame()

    def frame(self):
        """Let the page draw."""
        self.page.evaluate(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))"
        )

    def click(self, x, y, **how):
        """Click an image pixel and wait until the server has answered."""
        self.move(x, y)
        before = self.seq()
        self.page.mouse.click(*self.screen(x, y), **how)
        return self.written(before)

    def wheel(self, notches):
        """Turn the wheel where the pointer is; up (positive) for larger regions."""
        for _ in range(abs(notches)):
            self.page.mouse.wheel(0, -100 if notches > 0 else 100)
            self.frame()

    def take(self, x, y, notches=1):
        """Point, turn the wheel, click: an object of exactly the region that was shown."""
        self.move(x, y)
        self.wheel(notches)
        return self.click(x, y)[-1]

    def drag(self, *points):
        """Press at the first image pixel, go over the others, let go."""
        self.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.screen(*point), steps=4)
        self.page.mouse.up()

    def press(self, keys, wait=True):
        """Press keys; wait for the server's answer to what they do."""
        before = self.seq()
        self.page.keyboard.press(keys)
        return self.written(before) if wait else None

    def written(self, before):
        """Wait for an action after number `before`; returns the objects."""
        self.until(
            f"clickgrain.store.state.image.queue.seq > {before} && !clickgrain.store.state.image.queue.line.length"
        )
        self.frame()
        return self.objects()

    def seq(self):
        """Number of the last action that this tab knows of."""
        return self.page.evaluate("clickgrain.store.state.image.queue.seq")

    def objects(self):
        """Objects of the image, bottom first."""
        return self.page.evaluate("clickgrain.store.state.image.document.objects")

    def shown(self):
        """How many pixels the region under the pointer has; 0 when none is shown."""
        return self.page.evaluate(
            "Math.round(clickgrain.stage.hover.share() * clickgrain.store.state.image.tree.rank.length)"
        )

    def owner(self, x, y):
        """Number of the object that a pixel is drawn as, or None."""
        return self.page.evaluate(f"clickgrain.store.state.image.owners.at({x}, {y})")


@pytest.fixture
def tab(browser):
    """Open a tab: tab(), or tab(touch=True, size=(390, 844)); at the end none may have complained."""
    contexts, tabs = [], []

    def make(beside=None, touch=False, size=(1280, 800), forgive=False, auto=False):
        context = beside.page.context if beside else None
        if context is None:
            width, height = size
            context = browser.new_context(
                viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch, accept_downloads=True
            )
            context.set_default_timeout(120_000)
            if not auto:  # most stories are about regions of the tree
                context.add_init_script("""try {
                    localStorage["clickgrain.tools"] ??= '{"auto": false}';
                } catch {}""")
            contexts.append(context)
        tabs.append((Tab(context.new_page()), forgive))
        return tabs[-1][0]

    yield make
    for context in contexts:
        context.close()
    for one, forgive in tabs:
        assert forgive or not one.complaints


@pytest.fixture(scope="module")
def bare(browser, shared):
    """A page from which the modules in core/ can be imported, and nothing runs."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{shared.address}page/icon.svg")
    yield page
    context.close()
