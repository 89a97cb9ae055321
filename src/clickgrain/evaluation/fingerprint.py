"""What a result depends on, as short hashes: the method's code and libraries, and the data's content."""

import ast
import io
import tokenize
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

import clickgrain
from clickgrain.files import hash_bytes, hash_file

if TYPE_CHECKING:
    from clickgrain.evaluation.datasets import Benchmark
    from clickgrain.evaluation.sets.layout import Found

PACKAGES = {
    "cv2": ("opencv-python-headless", "opencv-python"),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "scipy": ("scipy",),
    "skimage": ("scikit-image",),
    "torch": ("torch",),
}
"""Libraries that do a method's work -> the distributions that bring them."""
INTERFACE = ("clickgrain.types", "clickgrain.errors")
"""Modules that every method uses and none is changed by."""
NETWORK_ROOMS = ("images", "weights", "features", "tree", "clicks", "models", "segmenter")
"""What a model of ours is made of."""


def data_hash(benchmark: "Benchmark") -> str:
    """20 hex digits for the ids and the content of images and masks of a whole benchmark.

    Files are read once per process. Targets without a `digest` count by their ids alone.
    """
    parts = [f"{target.id} {target.digest() if target.digest else ''}" for target in benchmark]
    return hash_bytes("\n".join(parts).encode())


def digest_of_files(found: "Found") -> Callable[[], str]:
    """Hashes the image and whatever the mask is read from: its file, its label, the way to read it."""
    reader: Any = found.mask
    if not isinstance(reader, partial):
        return partial(_files_hash, (found.image,), "")
    paths = (found.image, *(value for value in reader.args if isinstance(value, Path)))
    others = [value for value in reader.args if not isinstance(value, Path)]
    how = " ".join(str(getattr(value, "__name__", value)) for value in (reader.func, *others))
    return partial(_files_hash, paths, how)


def digest_of_arrays(image: npt.NDArray[np.generic], mask: npt.NDArray[np.generic]) -> str:
    """Hashes arrays in memory."""
    return hash_bytes(b"".join(f"{a.shape} {a.dtype} ".encode() + a.tobytes() for a in (image, mask)))


def _files_hash(paths: tuple[Path, ...], how: str) -> str:
    return hash_bytes(" ".join([how, *map(_content, paths)]).encode())


def _content(path: Path) -> str:
    try:
        state = path.stat()
        return _hashed(path, state.st_size, state.st_mtime_ns)
    except OSError:
        return "unreadable"  # said when the target is reached


@cache
def _hashed(path: Path, size: int, changed: int) -> str:
    return hash_file(path)


@cache
def network_code() -> str:
    """20 hex digits for the code that answers for `tree` and for models of ours."""
    root = Path(clickgrain.__file__).parent
    files = [path for room in NETWORK_ROOMS for path in [root / f"{room}.py", *(root / room).rglob("*.py")]]
    return _code_hash(path.read_text(encoding="utf-8") for path in sorted(files) if path.is_file())


def source_code(module: str) -> str:
    """20 hex digits for a module's code and the versions of the libraries that it uses.

    For a module of a package of ours, with the package's other modules that it imports from, and the modules
    outside that these take names from. Comments, docstrings and blank lines do not count, nor do patch releases.
    """
    package = module.rpartition(".")[0] if module.startswith("clickgrain.") else module
    own, others, queue = {module}, set[str](), [module]
    while queue:
        for used in _used(queue.pop()):
            if used.startswith(f"{package}.") and used not in own:
                own.add(used)
                queue.append(used)
            elif not used.startswith(f"{package}.") and used not in INTERFACE:
                others.add(used)
    return _code_hash(_source(name) for name in sorted(own | others))


def _used(module: str) -> Iterator[str]:
    """The modules of ours that define what a module imports."""
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("clickgrain."):
            for alias in node.names:
                yield _defined_in(f"{node.module}", alias.name)


def _defined_in(module: str, name: str) -> str:
    defined = getattr(getattr(import_module(module), name, None), "__module__", None)
    return defined if isinstance(defined, str) and defined.startswith("clickgrain.") else module


def _source(module: str) -> str:
    file = getattr(import_module(module), "__file__", None)
    return Path(file).read_text(encoding="utf-8") if file and file.endswith(".py") else ""


def _code_hash(sources: Iterable[str]) -> str:
    texts = list(sources)
    libraries = sorted({name for text in texts for name in _libraries(text)})
    parts = [*map(_bare, texts), *(f"{name} {_release(name)}" for name in libraries)]
    return hash_bytes("\n".join(parts).encode())


def _libraries(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        yield from (name.partition(".")[0] for name in names if name.partition(".")[0] in PACKAGES)


def _release(library: str) -> str:
    """Major and minor version."""
    for distribution in PACKAGES[library]:
        try:
            return ".".join(version(distribution).split(".")[:2])
        except PackageNotFoundError:
            continue
    return "unknown"


def _bare(source: str) -> str:
    """The source without docstrings, comments and blank lines: they change no result."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            lines[token.start[0] - 1] = lines[token.start[0] - 1][: token.start[1]]
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            indent = lines[node.lineno - 1][: node.col_offset]
            last = node.end_lineno or node.lineno
            lines[node.lineno - 1 : last] = [f"{indent}pass", *[""] * (last - node.lineno)]
    return "\n".join(line.rstrip() for line in lines if line.strip() not in ("", "pass"))
