"""Run by test_processes.py: two processes train together, each on half of every batch.

usage: two_processes.py FOLDER, which forks both from one that has imported everything, or
torchrun --nproc-per-node 2 two_processes.py FOLDER killed.
With `killed` the second process dies in the middle of the third step of the first run in FOLDER/killed.
"""

import os
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from conftest import CLICKS, DATA, draw, image_set_of
from lightning_fabric import Fabric

from clickgrain.errors import TrainingError
from clickgrain.features.config import EncoderConfig
from clickgrain.models.config import GrainConfig
from clickgrain.models.grain import GrainModel
from clickgrain.progress import Quiet
from clickgrain.training import loop, run_dir
from clickgrain.training.config import DataArgs, TrainArgs

ARGS = TrainArgs(
    steps=4, batch=4, lr=5e-3, warmup=2, ema=0.5, precision="32-true", threads=1,
    clicks=CLICKS, data=DataArgs(**DATA),
)  # fmt: skip


def train(fabric, args, out, progress=None):
    torch.manual_seed(fabric.global_rank)  # the first process's weights count
    config = GrainConfig(EncoderConfig((4, 4, 6, 8, 8), (1, 1, 1, 1, 1)), (4, 4, 6, 8), long_side=64)
    model = GrainModel(config)
    images = image_set_of([draw(seed) for seed in range(3)])
    done = loop.fit(model, images, [0, 1, 2], args, out, fabric=fabric, progress=progress)
    if fabric.is_global_zero:
        with (out.parent / "sessions.txt").open("a") as sessions:
            print(out.name, fabric.world_size, len(done.losses), sep=", ", file=sessions)
    return model.state_dict()


class Stop(Quiet):
    """Interrupts a run after two of its steps."""

    steps = 0

    def advance(self, text=""):
        self.steps += 1
        if self.steps == 2:
            raise KeyboardInterrupt


def train_half(fabric, args, out):
    with suppress(KeyboardInterrupt):
        train(fabric, args, out, Stop())


def die_once(fabric, out):
    """The second process is killed; the first one, which saves, is told to end while it does."""
    step, save = loop.ClickStep.forward, run_dir.save_state

    def forward(self, crops, batch):
        if fabric.global_rank == 1 and batch.step == 2 and not (out / "died").exists():
            (out / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, crops, batch)

    def interrupted(*args):  # torchrun tells the others to end, at its worst in the middle of saving
        if (out / "died").exists() and not (out / "told").exists():
            (out / "told").touch()
            signal.raise_signal(signal.SIGTERM)
        save(*args)

    loop.ClickStep.forward, run_dir.save_state = forward, interrupted


def train_together(folder):
    """The same by two processes and by one, in one part and in more."""
    fabric = loop.fabric_for("cpu")
    rank = fabric.global_rank
    # clocks differ: one process saves after every step, the other never
    args = replace(ARGS, checkpoint_every=0.0 if rank == 0 else 3600.0)
    torch.save(train(fabric, args, folder / "two"), folder / f"rank{rank}.pt")
    train(fabric, replace(args, accumulate=2), folder / "parts")
    train_half(fabric, args, folder / "from two to one")
    alone = Fabric(accelerator="cpu", devices=1)
    if rank == 0:
        train_half(alone, ARGS, folder / "from one to two")
    fabric.barrier()
    train(fabric, args, folder / "from one to two")
    if rank == 0:
        train(alone, ARGS, folder / "from two to one")
        torch.save(train(alone, ARGS, folder / "one"), folder / "alone.pt")
        train(alone, replace(ARGS, accumulate=4), folder / "four parts")


def train_killed(folder):
    fabric = loop.fabric_for("cpu")
    die_once(fabric, folder)
    try:
        train(fabric, replace(ARGS, checkpoint_every=3600.0), folder)
    except (TrainingError, KeyboardInterrupt) as error:
        print(f"ended: {type(error).__name__} {error}", file=sys.stderr)
        sys.exit(1)


def fork_both():
    """In each child: the environment that torchrun gives. In the parent: wait for both, and end as they ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    children = []
    for rank in ("0", "1"):
        os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "TORCHELASTIC_RUN_ID": "forked"}
        if (child := os.fork()) == 0:
            return
        children.append(child)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0 for child in children))


def main(folder, killed=""):
    torch.set_num_threads(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if killed:
        train_killed(folder / "killed")
    else:
        fork_both()
        train_together(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
