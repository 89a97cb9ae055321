"""The annotation server at 640 x 480: first image, switching, clicks, memory; 50 megapixels; 10,000 photos.

Asked for on two cores: first image ready within 3 s of the command (once compiled), switching to an encoded image
under 150 ms, a click under 120 ms, server memory under 1 GB after 200 images. Run:

    python benchmarks/bench_annotate.py [MODEL ...]

MODEL as in `clickgrain annotate --model`; by default tree mode and an untrained grain model of the usual size, no
faster than a trained one. Times are those of HTTP requests to a server process on this machine.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import cv2
import httpx2
import numpy as np

PHOTOS, CLICKS = 200, 40
LIMITS = {"first image": 3000.0, "switch": 150.0, "click": 120.0, "memory": 1000.0}
Client = httpx2.Client


def photo(seed: int, height: int = 480, width: int = 640) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth blobs with texture: something to segment, different for every seed."""
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.random((9, 12, 3)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    steps = np.floor(np.clip(coarse, 0, 1) * 4) / 4 * 220
    texture = rng.integers(0, 24, (height, width, 1))
    return np.clip(steps + texture, 0, 255).astype(np.uint8)


def untrained(folder: Path) -> Path:
    """A grain model of the usual size with fresh weights."""
    from clickgrain.models.grain import GrainModel
    from clickgrain.weights import save_model

    model = GrainModel()
    save_model(folder, config=model.config.to_json(), tensors=model.state_dict())
    return folder


@contextmanager
def server(photos: Path, cache: Path, model: str) -> Iterator[tuple[Client, int, float]]:
    """(client, process id, start of the command) of a running server; ready when it answers."""
    started = perf_counter()
    command = [sys.executable, "-m", "clickgrain", "annotate", str(photos), "--no-browser", "--port", "0"]
    environment = {**os.environ, "CLICKGRAIN_CACHE": str(cache)}
    process = subprocess.Popen(
        [*command, "--model", model], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        with Client(base_url=address, headers={"X-Clickgrain": "1"}, timeout=300) as client:
            yield client, process.pid, started
    finally:
        process.terminate()
        process.wait()


def act(client: Client, image: int, **action: Any) -> float:
    """Milliseconds until an action that has seen everything is answered."""
    seq = client.get(f"/api/images/{image}").json()["document"]["seq"]
    start = perf_counter()
    answer = client.post(f"/api/images/{image}/actions", json={"seq": seq, "action": action})
    milliseconds = 1000 * (perf_counter() - start)
    answer.raise_for_status()
    return milliseconds


def click(client: Client, image: int, number: int | None, x: int, y: int) -> float:
    """Milliseconds of one more click."""
    step = {"type": "click", "x": x, "y": y, "label": 1}
    return act(client, image, kind="object.add_steps", object=number, steps=[step])


def opening(client: Client, image: int) -> float:
    """Milliseconds until document, picture and hover data are there, asked for at once as the page does."""
    start = perf_counter()
    with ThreadPoolExecutor(3) as pool:
        paths = (f"/api/images/{image}", f"/api/images/{image}/picture", f"/api/images/{image}/hover")
        for answer in pool.map(client.get, paths):
            answer.raise_for_status()
    return 1000 * (perf_counter() - start)


def memory(process: int) -> float:
    """Megabytes in use, now; 0 where the system does not tell."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def processor(process: int) -> float:
    """Seconds of processor time so far; 0 where the system does not tell. Other work hardly changes it."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(name: str, values: list[float], unit: str = "ms") -> None:
    """Median, 95th percentile, and the limit where there is one."""
    limit = LIMITS.get(name)
    asked = f"   (asked: under {limit:.0f})" if limit else ""
    print(f"  {name:28s} {np.median(values):8.1f} {np.percentile(values, 95):8.1f} {unit}{asked}", flush=True)


def usual(folder: Path, model: str) -> None:
    """200 photos of 640 x 480."""
    photos = folder / "photos"
    photos.mkdir(exist_ok=True)
    for number in range(PHOTOS):
        cv2.imwrite(str(photos / f"{number:03d}.jpg"), photo(number))
    for path in photos.glob("clickgrain.db*"):
        path.unlink()
    with server(photos, folder / "cache", model) as (client, _, _):
        opening(client, 1)  # compiles, where that has not been done yet
    with server(photos, folder / "cache", model) as (client, process, started):
        opening(client, 1)
        report("first image", [1000 * (perf_counter() - started)])
        report("first image: processor", [1000 * processor(process)])
        client.get("/api/images/3/hover")
        client.get("/api/images/2/hover")
        report("switch", [opening(client, 1 + turn % 3) for turn in range(12)])
        rng = np.random.default_rng(0)
        points = [(int(x), int(y)) for x, y in zip(rng.integers(0, 640, CLICKS), rng.integers(0, 480, CLICKS))]
        report("click", [click(client, 1, None, x, y) for x, y in points])
        report("further click", [click(client, 1, 1, x, y) for x, y in points[:8]])
        offered = [f"/api/images/1/objects/{number}/alternatives" for number in range(5, 15)]
        report("alternatives", [timed(partial(client.get, path)) for path in offered])
        report("undo", [act(client, 1, kind="undo") for _ in range(8)])
        for image in range(1, PHOTOS + 1):
            opening(client, image)
            click(client, image, None, 300, 200)
        report("memory", [memory(process)], "MB")


def timed(call: Callable[[], Any]) -> float:
    """Milliseconds of a call."""
    start = perf_counter()
    call()
    return 1000 * (perf_counter() - start)


def large(folder: Path, model: str) -> None:
    """One photo of 50 megapixels."""
    photos = folder / "large"
    photos.mkdir(exist_ok=True)
    cv2.imwrite(str(photos / "large.jpg"), photo(0, 5792, 8688))
    with server(photos, folder / "cache", model) as (client, process, _):
        report("50 MP: opened", [opening(client, 1)])
        report("50 MP: opened again", [opening(client, 1) for _ in range(3)])
        report("50 MP: click", [click(client, 1, None, 100 + 50 * i, 700) for i in range(5)])
        report("50 MP: memory", [memory(process)], "MB")


def many(folder: Path, model: str) -> None:
    """10,000 photos: links to one."""
    photos = folder / "many"
    photos.mkdir(exist_ok=True)
    for number in range(10_000):
        link = photos / f"{number:05d}.jpg"
        if not link.exists():
            os.link(folder / "photos" / "000.jpg", link)
    for again in ("", ", second time"):
        with server(photos, folder / "cache", model) as (client, _, started):
            opening(client, 1)
            report(f"10,000: first image{again}", [1000 * (perf_counter() - started)])
            report(f"10,000: list{again}", [timed(lambda: client.get("/api/images")) for _ in range(3)])
            report(f"10,000: changes{again}", [timed(lambda: client.get("/api/changes?since=0&image=5"))] * 2)


def main() -> None:
    """Run all of it for every model."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        models = sys.argv[1:] or ["tree", str(untrained(folder / "untrained"))]
        print(f"  {'':28s}   median      p95")
        for model in models:
            print(f"{'grain, untrained' if model.endswith('untrained') else model}")
            usual(folder, model)
            large(folder, model)
        many(folder, models[0])


if __name__ == "__main__":
    main()
