"""Vision transformers in the Hugging Face layout: find the files, load them, refuse what does not match."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from clickgrain.errors import FeatureError, WeightsError
from clickgrain.features.config import LARGEST
from clickgrain.files import hash_bytes

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

ADVICE = (
    "Without a network, run `hf download ID --local-dir FOLDER` on another machine and pass FOLDER; "
    'or use the extractor "color-texture", which needs no weights'
)
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Heads, decoders and mask tokens play no part in features, so a checkpoint may hold or lack them.
UNUSED_WEIGHTS = ("pooler.", "decoder.", "classifier.", "embeddings.mask_token")


FAMILIES = {  # `model_type` -> what the names of its classes in transformers (...Config, ...Model) begin with
    "vit": "ViT",
    # Weights and graph are ViT's; `ViTMAEModel` itself would shuffle the patches, even at mask ratio 0.
    "vit_mae": "ViT",
    "vit_msn": "ViTMSN",
    "dinov2": "Dinov2",
    "dinov2_with_registers": "Dinov2WithRegisters",
    "dinov3_vit": "DINOv3ViT",
}


def read_config(source: str | Path) -> dict[str, Any]:
    """The `config.json` of a folder or a Hugging Face id; of an id, this file alone is downloaded."""
    path = _file(source, "config.json")
    if path is None:
        fix = "pass a folder with config.json and model.safetensors, or the id of a model"
        raise WeightsError(f"{source} holds no config.json, so it is no model; {fix}")
    return _read_json(path)


def read_normalization(source: str | Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per RGB channel (of values in 0..1): preprocessor_config.json, or ImageNet's."""
    path = _file(source, "preprocessor_config.json")
    found = {} if path is None else _read_json(path)
    mean = found.get("image_mean") or IMAGENET_MEAN
    std = found.get("image_std") or IMAGENET_STD
    plain = all(isinstance(v, list | tuple) and len(v) == 3 and all(map(_is_number, v)) for v in (mean, std))
    if not plain or min(std) <= 0:
        given = f"image_mean {shortened(mean)} and image_std {shortened(std)}"
        raise WeightsError(f"{path}: {given} are not three numbers each, the latter above 0; correct them")
    return tuple(map(float, mean)), tuple(map(float, std))


def _family(source: str | Path, config: dict[str, Any]) -> str:
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        known = ", ".join(FAMILIES)
        raise FeatureError(
            f"{source}: model_type {shortened(kind)} gives no patch features here; supported are {known}"
        )
    patch, channels = config.get("patch_size", 16), config.get("num_channels", 3)
    if not isinstance(patch, int) or isinstance(patch, bool) or patch < 1 or channels != 3:
        raise FeatureError(
            f"{source}: patch_size {shortened(patch)} with {shortened(channels)} channels;"
            " square patches of RGB images are needed: choose another model"
        )
    return FAMILIES[kind]


def load_backbone(source: str | Path) -> tuple[Any, str]:
    """The encoder of a checkpoint in float32, in evaluation mode on the CPU, and its family (see `FAMILIES`).

    Raises FeatureError: another type of model, or transformers is not installed; WeightsError: it cannot be read.
    """
    config = read_config(source)
    family = _family(source, config)
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise FeatureError(
            f"transformers is not installed, and {source} is read by it: pip install 'clickgrain[hf]';"
            " color-texture and grain models do without"
        ) from error
    folder = _weights_folder(source)
    _check_sizes(source, config, sum(path.stat().st_size for path in folder.iterdir() if path.is_file()))
    with _quiet():
        model, info = _from_pretrained(folder, config, family)
    _refuse_mismatch(source, info)
    return model.eval().requires_grad_(False), family


def weights_digest(model: Any) -> str:
    """12 hexadecimal digits of the weights' values; names and order do not count, for transformers renames them."""
    arrays = (tensor.detach().cpu().contiguous().numpy() for tensor in model.state_dict().values())
    return hash_bytes("".join(sorted(hash_bytes(array.tobytes()) for array in arrays)).encode())[:12]


def _from_pretrained(folder: Path, config: dict[str, Any], family: str) -> tuple[Any, dict[str, Any]]:
    import torch
    import transformers

    name = f"{family}Model"
    model_class = getattr(transformers, name, None)
    if model_class is None:
        raise FeatureError(
            f"transformers {transformers.__version__} has no {name}; run `pip install -U transformers`"
        )
    options = {"add_pooling_layer": False} if family == "ViT" else {}
    settings = {key: value for key, value in config.items() if key not in ("model_type", "architectures")}
    try:
        loaded: tuple[Any, dict[str, Any]] = model_class.from_pretrained(
            folder,
            config=getattr(transformers, f"{family}Config").from_dict(settings),
            dtype=torch.float32,
            local_files_only=True,
            weights_only=True,  # a pytorch_model.bin may hold tensors, and nothing else
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # whatever safetensors, torch, json and transformers raise on a bad file
        raise WeightsError(f"{folder} cannot be loaded as {name}: {error}; download it again") from error
    return loaded


def _check_sizes(source: str | Path, config: dict[str, Any], stored: int) -> None:
    """Refuse a config of a network that would take minutes to build, or more memory than its weights explain."""
    for key, value in config.items():
        if isinstance(value, int | float) and not _is_number(value):
            raise WeightsError(f"{source}: {key} of config.json is {shortened(value)}; download the model again")
    usual = {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 0, "mlp_ratio": 0, "image_size": 224}
    sizes = {key: config.get(key, value) for key, value in usual.items()}
    if all(map(_is_number, sizes.values())):
        width, depth, inner, ratio, side = sizes.values()
        patches = (side / config.get("patch_size", 16)) ** 2
        # Attention, MLP and positions, a byte for each number.
        if width > 0 < depth and width * (depth * (4 * width + 2 * max(inner, ratio * width)) + patches) <= stored:
            return
    shown = ", ".join(f"{key} {shortened(value)}" for key, value in sizes.items())
    raise WeightsError(
        f"{source} cannot be loaded: config.json asks for more than its {stored / 1e6:.3g} MB of weights ({shown});"
        " download the model again"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and -LARGEST <= value <= LARGEST  # which NaN is not


def _refuse_mismatch(source: str | Path, info: dict[str, Any]) -> None:
    """A tensor that is missing would be random: say so instead."""
    wrong = []
    for what in ("missing", "unexpected", "mismatched"):
        keys = sorted(str(key) for key in info.get(f"{what}_keys", ()))
        keys = [key for key in keys if not key.startswith(UNUSED_WEIGHTS)]
        if keys:
            wrong.append(f"{len(keys)} {what} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})")
    if wrong:
        raise WeightsError(
            f"{source}: weights and config.json do not belong together: tensors {'; '.join(wrong)}."
            " Download the model again, or save it with save_pretrained"
        )


def _weights_folder(source: str | Path) -> Path:
    path = next(filter(None, (_file(source, name) for name in WEIGHT_FILES)), None)
    if path is None:
        raise WeightsError(f"{source} holds none of {', '.join(WEIGHT_FILES)}. {ADVICE}")
    if path.suffix == ".json":
        shards = _read_json(path).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
            raise WeightsError(f"{path}: weight_map is {shortened(shards)}; download the model again")
        for shard in sorted(set(shards.values())):
            _file(source, shard)
    return path.parent


def _file(source: str | Path, name: str) -> Path | None:
    """Path of a file of the model, downloaded if need be; None where the model has no such file."""
    text = str(source)
    try:
        folder = Path(source).expanduser()
        if folder.is_dir():
            return folder / name if (folder / name).is_file() else None
        exists = folder.exists()
    except (OSError, RuntimeError) as error:  # a name too long, or ~ of a user that there is not
        raise WeightsError(f"{shortened(text)}: no name of a model ({error}); give a folder or an id") from error
    if exists or text.startswith((".", "/", "~")) or "\\" in text or text.count("/") > 1:
        raise WeightsError(f"{source} is not a folder; pass a folder that holds config.json and model.safetensors")
    if "/" not in text:  # every model of interest has an owner; asking the hub for a typing error takes long
        raise WeightsError(
            f"there is no folder {text!r}, and a Hugging Face id reads OWNER/NAME; check the spelling, or use a"
            ' folder or "color-texture", which needs no weights'
        )
    return _download(text, name)


def _download(model_id: str, name: str) -> Path | None:
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(hf_hub_download(model_id, name))
    except errors.LocalEntryNotFoundError as error:
        if name not in ("config.json", WEIGHT_FILES[-1]):
            return None  # offline, what the cache lacks may never have existed
        where = "is not in the cache and the hub is out of reach"
        raise WeightsError(f"{model_id}: {name} {where}. {ADVICE}") from error
    except errors.EntryNotFoundError:
        return None
    except errors.GatedRepoError as error:
        fix = "do so on the model's page, then run `hf auth login`"
        raise WeightsError(f"{model_id} asks for its licence to be accepted: {fix}. {ADVICE}") from error
    except (errors.RepositoryNotFoundError, errors.HFValidationError) as error:
        known = "neither a folder here nor a model id (such as facebook/dino-vits8)"
        fix = "check the spelling, or run `hf auth login` if it is private"
        raise WeightsError(f"{model_id!r} is {known}; {fix}") from error
    except Exception as error:  # the client's own network errors differ between its versions
        raise WeightsError(f"{model_id}: {name} cannot be downloaded: {error}. {ADVICE}") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} cannot be read as JSON: {error}; download the model again") from error
    if not isinstance(value, dict):
        raise WeightsError(f"{path} holds a {type(value).__name__}, not a JSON object; download the model again")
    return value


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars and no reports while loading: what does not match becomes an error of ours."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with warnings.catch_warnings(action="ignore"):
        logging.set_verbosity_error()
        if bars:
            logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bars:
                logging.enable_progress_bar()
