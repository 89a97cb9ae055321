"""Run by test_processes.py: two processes train together, each on half of every batch.

usage: two_processes.py FOLDER
"""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from conftest import CLICKS, DATA, draw, image_set_of
from lightning_fabric import Fabric

from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel
from clickgrain.training.config import DataArgs, TrainArgs
from clickgrain.training.loop import fit


def arguments(batch):
    data = DataArgs(**DATA | {"color": 0.0})  # jitter is drawn per process, all else per sample
    return TrainArgs(
        steps=3, batch=batch, lr=5e-3, warmup=2, ema=0.5, precision="32-true", threads=1, clicks=CLICKS, data=data
    )  # fmt: skip


def train(fabric, args, out):
    torch.manual_seed(fabric.global_rank)  # the first process's weights count
    config = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)
    model = GrainModel(config)
    fit(model, image_set_of([draw(seed) for seed in range(3)]), [0, 1, 2], args, out, fabric=fabric)
    return model.state_dict()


def main(folder):
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    rank = fabric.global_rank
    # clocks differ: one process saves after every step, the other never
    args = replace(arguments(1), checkpoint_every=0.0 if rank == 0 else 3600.0)
    torch.save(train(fabric, args, folder / "two"), folder / f"rank{rank}.pt")
    if rank == 0:
        alone = Fabric(accelerator="cpu", devices=1)
        torch.save(train(alone, arguments(2), folder / "one"), folder / "alone.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
