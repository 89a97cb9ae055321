"""Build wheel and sdist, install the wheel into an empty environment away from the checkout, and use it there.

`python tools/check_wheel.py [--keep DIR] [EXTRA ...]`. pip brings what the wheel asks for, in the versions of
constraints.txt; seconds, megabytes and the largest packages are printed. Then the wheel's files are compared with
git's list, `clickgrain segment` answers with the model in the package, `clickgrain annotate` serves every file of
its page, and without extras each command that wants one names it.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

ROOT = Path(__file__).parents[1]
MOST_BYTES = 12_000_000
WANTING = {
    "onnx": "segment photos/chelsea.png --click 9,9 --out mask.png --runtime onnx",
    "hf": "propose photos --out trees.db --extractor vit",
    "cvat": "serve cvat",
    "ray": "propose photos --out trees.db --engine ray",
    "remote": "propose s3://bucket/photos --out trees.db",
    "heif": "segment photo.heic --click 9,9 --out mask.png",
}
"""Command lines that need an extra; napari's is asked for by an import."""
VIT = '{"model_type": "vit", "architectures": ["ViTModel"], "patch_size": 8}'


def build(out: Path) -> tuple[Path, Path]:
    """(wheel, sdist); the wheel is made from the sdist, so that neither lacks a file."""
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", str(out), str(ROOT)], check=True, stdout=subprocess.DEVNULL
    )
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


def check_content(wheel: Path) -> list[str]:
    """Names in the wheel, which must hold every file of the package that git knows."""
    if (size := wheel.stat().st_size) > MOST_BYTES:
        raise SystemExit(f"{wheel.name} has {size:,} bytes, over {MOST_BYTES:,}")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    listed = subprocess.run(["git", "ls-files", "src"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    wanted = {line.removeprefix("src/") for line in listed.splitlines() if (ROOT / line).is_file()}
    if missing := wanted - set(names):
        raise SystemExit(f"{wheel.name} lacks {sorted(missing)}")
    return names


def size_of(path: Path) -> int:
    """Bytes of a file or of all files below a folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def install(wheel: Path, extras: list[str], folder: Path) -> Path:
    """bin folder of a new environment that holds the wheel and what it asks for, nothing else; prints the cost."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    bin_ = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(bin_ / "python"), "install"]
    flags = ["--quiet", "--no-compile", "-c", str(ROOT / "constraints.txt")]
    asked = f"{wheel}[{','.join(extras)}]" if extras else str(wheel)
    start = perf_counter()
    subprocess.run([*pip, *flags, asked], check=True)
    seconds = perf_counter() - start
    sizes = {path.name: size_of(path) for path in next(folder.rglob("site-packages")).iterdir()}
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:10]
    print(f"installed {sum(sizes.values()) / 1e6:.0f} MB in {seconds:.0f} s: ", end="")
    print(", ".join(f"{key} {value / 1e6:.0f}" for key, value in largest))
    return bin_


def main() -> None:
    """Build, install, use; the first thing that fails ends it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", metavar="DIR", type=Path, help="copy wheel and sdist there")
    parser.add_argument("extras", metavar="EXTRA", nargs="*", help="to install, too, for their size")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, sdist = build(folder / "dist")
        names = check_content(wheel)
        print(f"{wheel.name} {wheel.stat().st_size / 1e6:.2f} MB, {sdist.name} {sdist.stat().st_size / 1e6:.2f} MB")
        bin_ = install(wheel, given.extras, folder / "venv")
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        environment["CLICKGRAIN_CACHE"] = str(folder / "cache")

        def run(*words: str, fails: bool = False) -> str:
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            if bool(done.returncode) != fails:
                raise SystemExit(f"{words} ended with {done.returncode}: {done.stderr}")
            return done.stderr if fails else done.stdout

        python, command = str(bin_ / "python"), str(bin_ / "clickgrain")
        home = run(python, "-c", "import clickgrain; print(clickgrain.__file__)").strip()
        if not Path(home).is_relative_to(folder.resolve()) and not Path(home).is_relative_to(folder):
            raise SystemExit(f"clickgrain comes from {home}, not from the wheel")
        code = "from importlib.resources import files; print(files('skimage.data') / 'chelsea.png')"
        photos = folder / "photos"
        photos.mkdir()
        shutil.copy(run(python, "-c", code).strip(), photos)
        print(run(command, "--version"), end="")
        clicks = ["--click", "190,128", "--model", "default", "--out", "mask.png"]
        print(run(command, "segment", "photos/chelsea.png", *clicks), end="")
        print(f"{check_page([command, 'annotate', 'photos'], folder, environment, names)} files of the page served")
        if not given.extras:
            check_extras(folder, python, command, run)
        if given.keep is not None:
            shutil.copytree(folder / "dist", given.keep, dirs_exist_ok=True)


def check_page(words: list[str], folder: Path, environment: dict[str, str], names: list[str]) -> int:
    """Start the server, fetch the page with all its files and the list of images; returns how many files."""
    flags = ["--model", "default", "--no-browser", "--port", "0"]
    log = folder / "server.log"
    with log.open("w") as errors:
        server = subprocess.Popen(
            [*words, *flags], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    try:
        assert server.stdout is not None
        address = next(
            (found[0] for line in server.stdout if (found := re.search(r"http://127\.0\.0\.1:\d+/", line))), ""
        )
        if not address:
            raise SystemExit(f"the server did not start: {log.read_text()}")
        page = "clickgrain/annotate/"
        files = [name.removeprefix(page) for name in names if name.startswith(f"{page}page/")]
        for path in ["", "api/state", "api/images", *files]:
            try:
                with urllib.request.urlopen(address + path, timeout=60) as answer:
                    empty = not answer.read()
            except OSError as error:
                raise SystemExit(f"{address}{path}: {error}") from error
            if empty:
                raise SystemExit(f"{address}{path} is empty")
        return len(files)
    finally:
        server.terminate()
        server.wait(timeout=60)


def check_extras(folder: Path, python: str, command: str, run: Callable[..., str]) -> None:
    """What wants an extra that is not there ends with its name, and with no traceback."""
    (folder / "vit").mkdir()
    (folder / "vit" / "config.json").write_text(VIT)
    (folder / "vit" / "model.safetensors").write_bytes(b"")
    (folder / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    said = {extra: run(command, *line.split(), fails=True) for extra, line in WANTING.items()}
    load = "from clickgrain.errors import ConfigError\ntry:\n import clickgrain.napari.widget\n"
    load += "except ConfigError as error:\n raise SystemExit(str(error))"
    said["napari"] = run(python, "-c", load, fails=True)
    for extra, words in said.items():
        if f"pip install 'clickgrain[{extra}]'" not in words or "Traceback" in words:
            raise SystemExit(f"without [{extra}] it says: {words}")
    print(f"named where they are missing: {', '.join(said)}")


if __name__ == "__main__":
    main()
