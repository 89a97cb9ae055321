"""Positional bias: what a vision transformer's features say about *where* a patch is, and how to remove it.

Averaged over noise images, features keep only what depends on the position. The leading right singular vectors
of that average (positions x d, centred) span the bias; features are projected onto their complement.
"""

import io
from contextlib import suppress
from pathlib import Path

import numpy as np

from clickgrain.errors import FeatureError
from clickgrain.features.registry import FeatureExtractor
from clickgrain.files import atomic_write, cache_dir, hash_bytes
from clickgrain.types import Float

NOISE_IMAGES = 16
NOISE_SIZE = (256, 256)
MAX_DIRECTIONS = 64  # kept in the cache; projecting out more would take away content


def position_directions(extractor: FeatureExtractor, count: int, *, folder: Path | None = None) -> Float:
    """The `count` leading directions of positional bias of an extractor: count x d float32, orthonormal rows.

    Measured once per `extractor.name` and cached in `folder` (default: the user's cache folder) if that can be
    written. Raises FeatureError: it has fewer directions.
    """
    key = f"{extractor.name}|{NOISE_IMAGES}|{NOISE_SIZE}"
    path = (folder or cache_dir() / "position") / f"{hash_bytes(key.encode())}.npy"
    directions = _read(path, extractor.dim)
    if directions is None:
        directions = measure_directions(extractor)
        buffer = io.BytesIO()
        np.save(buffer, directions, allow_pickle=False)
        with suppress(OSError):
            atomic_write(path, buffer.getvalue())
    available = min(len(directions), extractor.dim - 1)
    if not 0 <= count <= available:
        wanted = f"remove_position {count} of an extractor whose positional bias has {available} directions"
        raise FeatureError(f"{wanted}; give 0 to {available} (a few are enough)")
    return directions[:count]


def measure_directions(extractor: FeatureExtractor) -> Float:
    """Up to 64 directions of positional bias, strongest first: m x d float32, orthonormal rows."""
    rng = np.random.default_rng(0)
    mean = np.zeros((1, extractor.dim))
    for _ in range(NOISE_IMAGES):  # one at a time: 16 grids of a large model need not be in memory together
        features = extractor(rng.integers(0, 256, (*NOISE_SIZE, 3), dtype=np.uint8))
        mean = features.reshape(-1, extractor.dim).astype(np.float64) / NOISE_IMAGES + mean
    _, strength, directions = np.linalg.svd(mean - mean.mean(0), full_matrices=False)
    significant = int((strength > strength[0] * 1e-6).sum()) if strength[0] > 0 else 0
    return np.ascontiguousarray(directions[: min(significant, MAX_DIRECTIONS)], dtype=np.float32)


def project_out(features: Float, directions: Float) -> Float:
    """Remove the components along `directions` (k x d, orthonormal rows) from features (... x d)."""
    along: Float = np.matmul(np.matmul(features, directions.T), directions)
    return features - along


def _read(path: Path, dim: int) -> Float | None:
    """None where there is no such file or not what was written: it is only a cache."""
    try:
        with path.open("rb") as file:
            array: Float = np.load(file, allow_pickle=False)
        valid = array.dtype == np.float32 and array.ndim == 2 and array.shape[1] == dim
        return array if valid and bool(np.isfinite(array).all()) else None
    except Exception:  # numpy takes damaged bytes for an archive, or for more values than there is memory
        return None
