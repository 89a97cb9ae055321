"""Make a grain model larger: more channels and blocks, the same answers; then train it on with `--from`.

python tools/grow_model.py --out DIR [--model MODEL] [--encoder W W W W W] [--depths D D D D D]
                           [--decoder W W W W] [--seed N]
"""

import argparse
import sys
from pathlib import Path

from clickgrain.errors import ClickgrainError, ConfigError
from clickgrain.features.encoder_config import EncoderConfig
from clickgrain.models.grain import GrainModel
from clickgrain.models.grain_config import GrainConfig
from clickgrain.models.grow import grown
from clickgrain.models.registry import load_click_model
from clickgrain.weights import save_model

ENCODER, DEPTHS, DECODER = (24, 48, 80, 128, 160), (1, 1, 2, 2, 2), (12, 24, 64, 96)


def grow(source: str, out: Path, config: GrainConfig, seed: int) -> int:
    """Write the larger model; its number of parameters.

    Raises:
        ConfigError: for another kind of model, or sizes that it cannot grow to.
        WeightsError: where the model cannot be read or the larger one not be written.
    """
    model = load_click_model(source)
    if not isinstance(model, GrainModel):
        raise ConfigError(f"{source} is a {model.config.kind} model; only grain models grow")
    larger = grown(model, config, seed)
    save_model(out, config=larger.config.to_json(), tensors=larger.state_dict())
    return sum(parameter.numel() for parameter in larger.parameters())


def main() -> int:
    """Grow, and say how large it is."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", default="default")
    parser.add_argument("--encoder", type=int, nargs=5, default=ENCODER)
    parser.add_argument("--depths", type=int, nargs=5, default=DEPTHS)
    parser.add_argument("--decoder", type=int, nargs=4, default=DECODER)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    try:
        config = GrainConfig(EncoderConfig(tuple(args.encoder), tuple(args.depths)), tuple(args.decoder))
        count = grow(args.model, args.out, config, args.seed)
    except ClickgrainError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{args.out}: {count / 1e6:.2f} million parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
