"""The annotation server with 20 people at once: time of a click, against one person alone.

Every person has an image, asks once a second what has changed, as the page does, and clicks: without a pause, when
20 people share the cores, so that a click may take 20 / cores times as long as one person's; and every two seconds,
as people do. Asked for: 95 % of the clicks within 1.5 times the time of one person alone, per core. Run:

    python -m benchmarks team [MODEL ...]

MODEL as in `clickgrain annotate --model`; by default tree mode and an untrained grain model of the usual size.
People are threads of one process on the same machine, whose own work is part of every time, but not of the server's
processor time.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import httpx2
import numpy as np

from benchmarks.bench_annotate import memory, photo, processor, untrained

PEOPLE, CLICKS, PAUSE, WANTED = 20, 15, 2.0, 1.5
MEMORY = "1000"
"""Megabytes of encoded images: all 20 stay, or every click would encode its image again."""


@contextmanager
def server(folder: Path, model: str) -> Iterator[tuple[str, int]]:
    """(address, process id) of a running server of 20 people, whose tokens are token00000 and so on."""
    users = folder / "users.txt"
    users.write_text("".join(f"person {number}=token{number:05d}\n" for number in range(PEOPLE)))
    command = [
        sys.executable,
        "-m",
        "clickgrain",
        "annotate",
        str(folder / "photos"),
        "--no-browser",
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        [*command, "--model", model, "--users", str(users), "--memory", MEMORY],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "CLICKGRAIN_CACHE": str(folder / "cache")},
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().partition("?")[0], process.pid
    finally:
        process.terminate()
        process.wait()


class Person(threading.Thread):
    """Opens an image, and from the common start on clicks and asks for changes.

    Attributes:
        times: milliseconds of the clicks; problem: what ended the thread early.
    """

    def __init__(self, address: str, number: int, start: threading.Barrier, pause: float, clicks: int) -> None:
        super().__init__()
        self.clicks = clicks
        self.image, self.start_together, self.pause = number + 1, start, pause
        headers = {"X-Clickgrain": "1", "Authorization": f"Bearer token{number:05d}"}
        self.client = httpx2.Client(base_url=address, headers=headers, timeout=300)
        self.rng = np.random.default_rng(number)
        self.times = list[float]()
        self.change, self.polled = 0, 0.0
        self.problem: Exception | None = None

    def run(self) -> None:
        """Work, and keep what went wrong."""
        try:
            with self.client:
                self.client.get(f"/api/images/{self.image}/hover").raise_for_status()
                seq = self.client.get(f"/api/images/{self.image}").json()["document"]["seq"]
                self.poll()
                self.start_together.wait()
                self.wait(self.rng.uniform(0, self.pause))
                for _ in range(self.clicks):
                    seq = self.click(seq)
                    self.wait(self.rng.uniform(0, 2 * self.pause))
        except Exception as error:
            self.problem = error
            self.start_together.abort()

    def click(self, seq: int) -> int:
        """Begin an object; returns the number of the action."""
        x, y = int(self.rng.integers(0, 640)), int(self.rng.integers(0, 480))
        steps = [{"type": "click", "x": x, "y": y, "label": 1}]
        body = {"seq": seq, "client": "bench", "action": {"kind": "object.add_steps", "steps": steps}}
        start = time.perf_counter()
        answer = self.client.post(f"/api/images/{self.image}/actions", json=body)
        self.times.append(1000 * (time.perf_counter() - start))
        return int(answer.raise_for_status().json()["seq"])

    def wait(self, seconds: float) -> None:
        """Think, and ask for changes meanwhile."""
        end = time.monotonic() + seconds
        while True:
            if time.monotonic() > self.polled + 1:
                self.poll()
            if (left := end - time.monotonic()) <= 0:
                return
            time.sleep(min(left, 0.1))

    def poll(self) -> None:
        """What the page asks once a second."""
        self.polled = time.monotonic()
        path = f"/api/changes?since={self.change}&image={self.image}&client=bench"
        self.change = self.client.get(path).raise_for_status().json()["change"]


def together(address: str, count: int, pause: float) -> list[float]:
    """Milliseconds of the clicks of so many people at once."""
    start = threading.Barrier(count)
    clicks = CLICKS if count > 1 else 2 * CLICKS
    people = [Person(address, number, start, pause, clicks) for number in range(count)]
    for one in people:
        one.start()
    for one in people:
        one.join()
    for one in people:
        if one.problem is not None:
            raise one.problem
    return [value for one in people for value in one.times]


def measure(folder: Path, model: str) -> None:
    """One person, then 20, without and with pauses."""
    for path in (folder / "photos").glob("clickgrain.db*"):
        path.unlink()
    cores = len(os.sched_getaffinity(0))
    with server(folder, model) as (address, process):
        together(address, PEOPLE, 0)  # encodes all images, and compiles
        for name, pause, share in (("without a pause", 0.0, PEOPLE / cores), ("every 2 s", PAUSE, 1.0)):
            found = []
            for count in (1, PEOPLE):
                before, began = processor(process), time.perf_counter()
                times, seconds = together(address, count, pause), time.perf_counter() - began
                work = 1000 * (processor(process) - before) / len(times)
                found.append(float(np.percentile(times, 95)))
                print(
                    f"  {count:2d} people, {name:16s} {np.median(times):8.1f} {found[-1]:8.1f} ms"
                    f" {len(times) / seconds:7.1f} clicks/s {work:7.1f} ms of the server's processor a click",
                    flush=True,
                )
            ratio = found[1] / found[0] / share
            print(f"  {name}: p95 {ratio:.2f} times one person's, per core   (asked: under {WANTED})", flush=True)
        print(f"  memory {memory(process):.0f} MB")


def main() -> None:
    """Run all of it for every model."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        for number in range(PEOPLE):
            cv2.imwrite(str(folder / "photos" / f"{number:02d}.jpg"), photo(number))
        models = sys.argv[1:] or ["tree", str(untrained(folder / "untrained"))]
        print(f"  {'':28s}   median      p95")
        for model in models:
            print("grain, untrained" if model.endswith("untrained") else model)
            measure(folder, model)


if __name__ == "__main__":
    main()
