"""Put a trained model into the package as `default`.

    python tools/ship_default.py RUN [--long-side N] [--to FOLDER]

RUN is a folder that `clickgrain learn` or `train` wrote. The weights are stored as fp16 safetensors.
"""

import argparse
import sys
from pathlib import Path

import clickgrain
from clickgrain.errors import ClickgrainError, ConfigError
from clickgrain.models.registry import build_model
from clickgrain.weights import TENSORS, load_model, load_state, save_model

LIMIT = 20 * 2**20
"""Bytes that the weights in the package may take."""


def ship(run: Path, folder: Path, long_side: int | None = None) -> int:
    """Write the model of a run as fp16, after loading it into its network; the bytes of its weights.

    Args:
        run: folder of the trained model.
        folder: where to; files of an older model are replaced.
        long_side: that images are scaled to, instead of the run's.

    Raises:
        ConfigError: for weights beyond 20 MB.
        WeightsError: when the run's weights do not fit its config, or a file cannot be read or written.
    """
    config, tensors = load_model(run)
    if long_side is not None:
        config = {**config, "long_side": long_side}
    load_state(lambda: build_model(config), tensors)
    size = sum(tensor.numel() * 2 for tensor in tensors.values())
    if size > LIMIT:
        raise ConfigError(f"{run}: {size / 2**20:.1f} MB of fp16 weights; at most {LIMIT / 2**20:.0f} MB ship")
    save_model(folder, config=config, tensors=tensors, half=True)
    return (folder / TENSORS).stat().st_size


def main() -> int:
    """Ship, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--long-side", type=int)
    parser.add_argument("--to", type=Path, default=Path(clickgrain.__file__).parent / "data" / "default")
    args = parser.parse_args()
    try:
        size = ship(args.run, args.to, args.long_side)
    except ClickgrainError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{args.to}: {size / 2**20:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
