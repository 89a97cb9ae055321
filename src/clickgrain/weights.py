"""Models on disk: `model.safetensors` and `config.json`, in a folder, in the package or on Hugging Face.

`config.json` holds `format` (the version of this layout), `kind` ("grain", "paper", "extractor" ...), the
clickgrain version that wrote it, and whatever the kind needs to build its network.
"""

import errno
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from safetensors import SafetensorError

from clickgrain import __version__
from clickgrain.errors import WeightsError, cause
from clickgrain.files import hash_bytes, write_beside

if TYPE_CHECKING:  # loaded where tensors are handled: a model for ONNX Runtime has none
    import torch

FORMAT = 1  # version of the layout; raised when older readers would misread newer files
CONFIG, TENSORS, CARD = "config.json", "model.safetensors", "README.md"
AGAIN = "copy or download the model again"

Tensors = dict[str, "torch.Tensor"]
Module = TypeVar("Module", bound="torch.nn.Module")


def save_model(
    folder: str | Path,
    *,
    config: Mapping[str, Any],  # JSON values with `kind`; `format` and `clickgrain` are added
    tensors: "Mapping[str, torch.Tensor]",  # the state dict, on any device
    extra: Mapping[str, bytes] | None = None,  # further files by name (a model card, metrics), written first
    half: bool = False,  # store floating-point tensors as float16 (half the size; `load_model` gives back float32)
) -> None:
    """Write a model so that a failure at any time leaves the previous files whole, and nothing half-written.

    Raises WeightsError: the config has no `kind` or is not JSON, or the folder cannot be written.
    """
    folder = Path(folder)
    if not isinstance(config.get("kind"), str):
        raise WeightsError(f'{folder}: the config has no "kind"; give "grain", "paper" or "extractor"')
    try:
        full = {**config, "format": FORMAT, "clickgrain": __version__}
        described = json.dumps(full, indent=2, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{folder}: the config is not JSON ({error}); use plain numbers and strings") from error
    files = {folder / name: content for name, content in (extra or {}).items()}
    files |= {folder / TENSORS: _packed(tensors, half), folder / CONFIG: described.encode()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace_all(files)
    except OSError as error:
        raise WeightsError(f"{folder}: the model cannot be written ({cause(error)}); {_fix(error)}") from error


def load_model(source: str | Path, *, revision: str | None = None) -> tuple[dict[str, Any], Tensors]:
    """Read a model's config and tensors (on the CPU, half precision widened to float32).

    `source` is a folder, `"default"` (the model in the box), or a Hugging Face id such as `"user/name"`, of which
    `revision` names a branch, tag or commit. Raises WeightsError: it cannot be found or fetched, is damaged, or has
    another format version.
    """
    folder = find_model(source, revision=revision)
    return read_config(folder), _read_tensors(folder / TENSORS)


def find_model(source: str | Path, *, revision: str | None = None) -> Path:
    """The folder of the files of `source` (see `load_model`), fetched if need be; WeightsError says what to do."""
    if str(source) == "default":
        folder = Path(__file__).parent / "data" / "default"
        if not (folder / CONFIG).is_file():
            fix = '"tree" (segmenter) and "color-texture" (extractor) work without any'
            learn = "`clickgrain learn PHOTOS` makes a model"
            raise WeightsError(f'no "default" weights ship with this version of clickgrain; {fix}, and {learn}')
        return folder
    try:
        if (folder := Path(source).expanduser()).is_dir():
            return folder
        if folder.is_file():
            raise WeightsError(f"{folder}: a file, not a model; name the folder that holds {CONFIG} and {TENSORS}")
    except (OSError, RuntimeError) as error:  # a name too long, or ~ of a user that there is not
        raise WeightsError(f"{source!r}: no name of a model ({cause(error)}); give a folder or an id") from error
    return _fetched(str(source), revision)


def load_state(build: Callable[[], Module], tensors: "Mapping[str, torch.Tensor]") -> Module:
    """What `build` makes, filled with `tensors`; WeightsError names keys and shapes that do not match."""
    import torch

    with torch.device("meta"):
        _check_state(build(), tensors)  # before memory is taken for what does not fit
    module = build()
    module.load_state_dict(tensors)
    return module


def _check_state(module: "torch.nn.Module", tensors: "Mapping[str, torch.Tensor]") -> None:
    """Refuse unknown or missing keys, other shapes or whole numbers; the first few of each are named."""
    wanted = module.state_dict()
    problems = {
        "missing": sorted(wanted.keys() - tensors.keys()),
        "unknown": sorted(tensors.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {tuple(tensors[key].shape)} instead of {tuple(value.shape)}"
            for key, value in sorted(wanted.items())
            if key in tensors and tensors[key].shape != value.shape
        ],
        "of another type": sorted(
            f"{key} {tensors[key].dtype}"
            for key, value in wanted.items()
            if key in tensors and tensors[key].is_floating_point() != value.is_floating_point()
        ),
    }
    found = "; ".join(
        f"{len(keys)} {what}: {', '.join(keys[:4])}{', ...' if len(keys) > 4 else ''}"
        for what, keys in problems.items()
        if keys
    )
    if found:
        fix = "build the network with the config saved with them"
        raise WeightsError(f"these weights do not fit {type(module).__name__} ({found}); {fix}")


def hash_tensors(tensors: "Mapping[str, torch.Tensor]") -> str:
    """First 20 hex digits of a SHA-256 over names, types, shapes and values; the order of keys is set aside."""
    import torch

    parts = []
    for key in sorted(tensors):
        value = tensors[key].detach().cpu().contiguous()
        raw = value.reshape(-1).view(torch.uint8).numpy().tobytes()
        parts.append(f"{key} {value.dtype} {tuple(value.shape)} {hash_bytes(raw)}")
    return hash_bytes("\n".join(parts).encode())


def _packed(tensors: "Mapping[str, torch.Tensor]", half: bool) -> bytes:
    import safetensors.torch
    import torch

    def prepared(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.detach().cpu()
        if half and tensor.is_floating_point():
            tensor = tensor.clamp(-65504, 65504).half()  # the largest finite float16
        return tensor.clone(memory_format=torch.contiguous_format)  # safetensors refuses shared memory

    return safetensors.torch.save({key: prepared(value) for key, value in tensors.items()})


def _replace_all(files: Mapping[Path, bytes]) -> None:
    """Write every file next to its target first, so that a full disk is noticed before any target changes."""
    pending: dict[Path, Path] = {}
    try:
        for target, content in files.items():
            pending[target] = write_beside(target, content)
        for target, temporary in pending.items():
            temporary.replace(target)
    finally:
        for temporary in pending.values():
            temporary.unlink(missing_ok=True)


def read_config(folder: Path) -> dict[str, Any]:
    """What stands in the config.json of a model folder; WeightsError if it is missing or damaged."""
    path = folder / CONFIG
    config = _read(path, json.loads, "not valid JSON", "name a folder that clickgrain wrote, or write it again")
    version = config.get("format") if isinstance(config, dict) else None
    if version == FORMAT and isinstance(config.get("kind"), str):
        return dict(config)
    if isinstance(version, int) and version > FORMAT:
        own = f"this clickgrain ({__version__}) reads {FORMAT}"
        raise WeightsError(f"{path}: format {version}, but {own}; update clickgrain")
    raise WeightsError(
        f'{path}: "format" is {version!r}, not {FORMAT}, or there is no "kind"; clickgrain did not write it or'
        " another version did: save the model again with this one"
    )


def _read_tensors(path: Path) -> Tensors:
    import safetensors.torch
    import torch

    exported = path.with_name("encoder.onnx").is_file()  # what export-model wrote
    advice = "this model has ONNX files alone: use --runtime onnx" if exported else AGAIN
    tensors = _read(path, safetensors.torch.load, "damaged or truncated", advice)
    return {key: value.float() if value.dtype == torch.float16 else value for key, value in tensors.items()}


def _read(path: Path, parse: Callable[[bytes], Any], damaged: str, absent: str) -> Any:
    """A parsed file; `damaged` says what is wrong if it cannot be parsed, `absent` what to do if it is missing."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; {absent}") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({cause(error)}); {_fix(error)}") from error
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise WeightsError(f"{path}: {damaged} ({error}); {AGAIN}") from error


def _fetched(source: str, revision: str | None) -> Path:
    if not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", source):
        fix = 'check the path, or use "tree"'
        raise WeightsError(f'{source}: no such folder, and not a Hugging Face id ("user/name"); {fix}')
    from huggingface_hub import snapshot_download  # only here: its import takes a while
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=[CONFIG, TENSORS, CARD]))
    except RepositoryNotFoundError as error:
        advice = "check the spelling, or set HF_TOKEN if it is private or gated"
        raise WeightsError(f"{source}: no such folder, and no such model on Hugging Face; {advice}") from error
    except RevisionNotFoundError as error:
        raise WeightsError(f"{source}: has no revision {revision!r} on Hugging Face; leave it out") from error
    except Exception as error:  # connection trouble comes in the types of the HTTP library in use
        raise WeightsError(
            f"{source}: no such folder, and Hugging Face gave nothing ({cause(error)}); connect and try again,"
            ' or download the model elsewhere and name its folder; "tree" needs no weights'
        ) from error


def _fix(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space, or choose a folder on another disk"
    return "check its permissions, or choose another folder"
