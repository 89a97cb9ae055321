"""Build wheel and sdist, install the wheel away from the checkout, and use it there.

`python tools/check_wheel.py [--keep DIR]`. The packages that the wheel needs come from the environment that runs
this (no download); clickgrain itself can only come from the wheel: its files are compared with git's list,
`clickgrain segment` answers with the model in the package, and `clickgrain annotate` serves every file of its page.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import urllib.request
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
MOST_BYTES = 12_000_000


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


def install(wheel: Path, folder: Path) -> Path:
    """bin folder of an environment that holds the wheel, and sees this one's other packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    bin_ = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", str(bin_ / "python"), "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", str(wheel)], check=True)
    site = next(folder.rglob("site-packages"))
    # a plain path: the .pth files in there, such as that of an editable clickgrain, are not read
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bin_


def main() -> None:
    """Build, install, use; the first thing that fails ends it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keep", metavar="DIR", type=Path, help="copy wheel and sdist there")
    keep = parser.parse_args().keep
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel, sdist = build(folder / "dist")
        names = check_content(wheel)
        print(f"{wheel.name} {wheel.stat().st_size / 1e6:.2f} MB, {sdist.name} {sdist.stat().st_size / 1e6:.2f} MB")
        bin_ = install(wheel, folder / "venv")
        environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
        environment["CLICKGRAIN_CACHE"] = str(folder / "cache")

        def run(*words: str) -> str:
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"{words} failed: {done.stderr}")
            return done.stdout

        home = run(str(bin_ / "python"), "-c", "import clickgrain; print(clickgrain.__file__)").strip()
        if not Path(home).is_relative_to(folder.resolve()) and not Path(home).is_relative_to(folder):
            raise SystemExit(f"clickgrain comes from {home}, not from the wheel")
        code = "from importlib.resources import files; print(files('skimage.data') / 'chelsea.png')"
        photos = folder / "photos"
        photos.mkdir()
        shutil.copy(run(str(bin_ / "python"), "-c", code).strip(), photos)
        command = str(bin_ / "clickgrain")
        print(run(command, "--version"), end="")
        clicks = ["--click", "190,128", "--model", "default", "--out", "mask.png"]
        print(run(command, "segment", "photos/chelsea.png", *clicks), end="")
        print(f"{check_page([command, 'annotate', 'photos'], folder, environment, names)} files of the page served")
        if keep is not None:
            shutil.copytree(folder / "dist", keep, dirs_exist_ok=True)


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


if __name__ == "__main__":
    main()
