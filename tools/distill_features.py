"""Make `semantic.onnx`: a small network that answers like a self-supervised ResNet-50 that saw no label.

The teacher is AugNet (Chen et al., arXiv 2106.06250; MIT), trained from scratch on ImageNet's photos without
their labels; PyPI's `imgsim` 0.1.2 carries its weights as imgsim/model.pth. Its two last stages, reduced to their
principal components, are the targets of two heads; only the head of the last stage is kept.

    python tools/distill_features.py PHOTOS --teacher model.pth --out semantic.onnx --minutes 50

Targets of 20,000 photos take 2 GB of memory and half an hour on two cores. Stopped, it begins again.
"""

import argparse
import logging
import math
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from clickgrain.features.config import EncoderConfig
from clickgrain.features.grain import GrainEncoder
from clickgrain.images import find_images, read_images
from clickgrain.training.step import jitter

SIZES = EncoderConfig((16, 32, 64, 128, 192), (1, 1, 2, 3, 3))
BLOCKS = (3, 4, 6, 3)  # of ResNet-50
COMPONENTS, SAMPLE = 64, 800  # of each stage; photos that they are found on
TEACHER_SIDE = 448  # long side at which the teacher sees a photo
CROP, BATCH, RATE, DECAY = 224, 16, 2e-3, 0.998
SIDES = (200, 440)  # range of the photo's long side of which a crop is taken
KEPT = 48  # components of the student's answers that are shipped: fewer make trees faster
Targets = tuple[Tensor, Tensor]  # C x h x w float16 unit vectors of the last stage but one, and of the last


class Teacher:
    """ResNet-50 without its classifier, batch norms folded into the convolutions, in bf16."""

    def __init__(self, path: Path) -> None:
        state = torch.load(path, map_location="cpu", weights_only=True)
        self.state = {name.replace("module.", "").removeprefix("pre."): value for name, value in state.items()}
        self.mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
        self.deviation = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
        self.folded: dict[str, tuple[Tensor, Tensor]] = {}

    def conv(self, x: Tensor, name: str, norm: str, stride: int = 1, padding: int = 0) -> Tensor:
        """A convolution and its batch norm."""
        if name not in self.folded:
            weight, gain, bias, mean, variance = (
                self.state[f"{layer}.{part}"].float()
                for layer, part in ((name, "weight"), (norm, "weight"), (norm, "bias"), (norm, "running_mean"),
                                    (norm, "running_var"))
            )  # fmt: skip
            gain = gain / (variance + 1e-5).sqrt()
            kernel = (weight * gain.view(-1, 1, 1, 1)).bfloat16().contiguous(memory_format=torch.channels_last)
            self.folded[name] = kernel, (bias - mean * gain).bfloat16()
        return functional.conv2d(x, *self.folded[name], stride=stride, padding=padding)

    @torch.inference_mode()
    def __call__(self, image: np.ndarray) -> tuple[Tensor, Tensor]:
        """h x w x C of the last stage but one (stride 16) and of the last (stride 32), for H x W x 3 uint8."""
        height, width = image.shape[:2]
        scale = TEACHER_SIDE / max(height, width)
        size = [max(64, round(side * scale / 32) * 32) for side in (width, height)]
        pixels = torch.from_numpy(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)).permute(2, 0, 1).float()
        x = ((pixels - self.mean) / self.deviation)[None].bfloat16().contiguous(memory_format=torch.channels_last)
        x = functional.max_pool2d(functional.relu(self.conv(x, "conv1", "bn1", 2, 3)), 3, 2, 1)
        stages = []
        for number, blocks in enumerate(BLOCKS, 1):
            for block in range(blocks):
                at, stride = f"layer{number}.{block}.", 2 if block == 0 and number > 1 else 1
                y = functional.relu(self.conv(x, f"{at}conv1", f"{at}bn1"))
                y = functional.relu(self.conv(y, f"{at}conv2", f"{at}bn2", stride, 1))
                y = self.conv(y, f"{at}conv3", f"{at}bn3")
                x = self.conv(x, f"{at}downsample.0", f"{at}downsample.1", stride) if block == 0 else x
                x = functional.relu(x + y)
            stages.append(x[0].permute(1, 2, 0).float())
        return stages[2], stages[3]


class Student(nn.Module):
    """The encoder with a head for each of the teacher's last two stages; `pixels` B x 3 x H x W in 0..255."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = GrainEncoder(SIZES)
        self.head3 = nn.Conv2d(SIZES.widths[2], COMPONENTS, 1)
        self.head4 = nn.Conv2d(SIZES.widths[3], COMPONENTS, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors at strides 8 and 16."""
        maps = self.encoder(pixels.contiguous(memory_format=torch.channels_last))
        return self.head3(maps[2]), self.head4(maps[3])


class Shipped(nn.Module):
    """What the extractor computes: the last head alone, turned to the main components of its answers."""

    def __init__(self, student: Student, turn: Tensor) -> None:
        super().__init__()
        self.encoder, head = student.encoder, student.head4
        self.head = nn.Conv2d(head.in_channels, turn.shape[1], 1)
        with torch.no_grad():
            self.head.weight.copy_(torch.einsum("ck,cihw->kihw", turn, head.weight))
            self.head.bias = nn.Parameter(head.bias @ turn)  # type: ignore[operator]

    def forward(self, image: Tensor) -> Tensor:
        """B x KEPT x H/16 x W/16."""
        x, maps = (image - 127.5) / 64, []
        for down, blocks in zip(self.encoder.downs, self.encoder.stages):
            x = blocks(down(x))
            maps.append(x)
        return self.head(maps[3] + functional.interpolate(self.encoder.laterals[3](maps[4]), scale_factor=2.0))


def reduced(stages: list[list[Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Mean and C x COMPONENTS projection of each stage: main components, damped by the root of their spread."""
    found = []
    for vectors in (torch.cat(part) for part in zip(*stages)):
        mean = vectors.mean(0)
        spread, axes = torch.linalg.eigh(torch.cov((vectors - mean).T))
        found.append((mean, axes.flip(1)[:, :COMPONENTS] / spread.flip(0)[:COMPONENTS] ** 0.25))
    return found


def taught(photos: list[np.ndarray], teacher: Teacher) -> list[Targets]:
    """What the teacher says of each photo."""
    picked = np.random.default_rng(0).permutation(len(photos))[:SAMPLE]
    basis = reduced([[stage.flatten(0, 1) for stage in teacher(photos[i])] for i in picked])
    targets = []
    for photo in photos:
        parts = [(stage - mean) @ axes for stage, (mean, axes) in zip(teacher(photo), basis)]
        first, last = (functional.normalize(part, dim=-1).permute(2, 0, 1).half() for part in parts)
        targets.append((first, last))
        if len(targets) % 500 == 0:
            print(f"taught {len(targets)} of {len(photos)} photos", flush=True)
    return targets


def sample(photo: np.ndarray, targets: Targets, rng: np.random.Generator) -> list[Tensor]:
    """A 3 x CROP x CROP crop, and for each stage its C x h x w targets and which h x w cells lie on the photo."""
    height, width = photo.shape[:2]
    scale = math.exp(rng.uniform(*np.log(SIDES))) / max(height, width)
    room = np.array([width * scale - CROP, height * scale - CROP])
    left, top = np.where(room > 0, rng.uniform(0, np.maximum(room, 1e-6)), room / 2)
    sign = 1 if rng.random() < 0.5 else -1
    begin = left if sign > 0 else left + CROP - 1
    to_photo = np.array([[sign / scale, 0, (begin + 0.5) / scale - 0.5], [0, 1 / scale, (top + 0.5) / scale - 0.5]])
    smooth = photo if scale > 0.75 else cv2.GaussianBlur(photo, (0, 0), 0.4 / scale)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crop = cv2.warpAffine(smooth, to_photo, (CROP, CROP), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    found = [torch.from_numpy(crop).permute(2, 0, 1).float()]
    for stage, stride in zip(targets, (8, 16)):
        middle = (np.arange(CROP // stride) + 0.5) * stride - 0.5
        x = (to_photo[0, 0] * middle + to_photo[0, 2] + 0.5) / width * 2 - 1
        y = (to_photo[1, 1] * middle + to_photo[1, 2] + 0.5) / height * 2 - 1
        grid = torch.from_numpy(np.stack(np.broadcast_arrays(x, y[:, None]), -1).astype(np.float32))[None]
        read = functional.grid_sample(stage[None].float(), grid, align_corners=False, padding_mode="border")
        found += [functional.normalize(read[0], dim=0), (grid[0].abs() <= 1).all(-1).float()]
    return found


def distilled(photos: list[np.ndarray], targets: list[Targets], minutes: float) -> Student:
    """A student with the moving average of its weights, after so many minutes."""
    torch.manual_seed(0)
    student = Student().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = {name: value.clone() for name, value in student.state_dict().items()}
    optimizer = torch.optim.AdamW(student.parameters(), lr=RATE, weight_decay=0.02)

    def batch(step: int) -> list[Tensor]:
        rng = np.random.default_rng([11, step])
        chosen = rng.integers(len(photos), size=BATCH)
        return [torch.stack(part) for part in zip(*(sample(photos[i], targets[i], rng) for i in chosen))]

    started, step = time.monotonic(), 0
    with ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(batch, 0)
        while (share := (time.monotonic() - started) / (60 * minutes)) < 1:
            crops, *wanted = ahead.result()
            ahead = pool.submit(batch, step + 1)
            for group in optimizer.param_groups:
                group["lr"] = RATE * min(1, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * share))
            answers, loss = student(jitter(crops, 0.2, np.random.default_rng([12, step]))), torch.zeros(())
            for answer, target, valid, part in zip(answers, wanted[::2], wanted[1::2], (0.5, 1.0)):
                away = 1 - (functional.normalize(answer, dim=1) * target).sum(1)
                loss = loss + part * (away * valid).sum() / valid.sum()
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(student.parameters(), 1.0)
            optimizer.step()
            step += 1
            keep = min(DECAY, (1 + step) / (10 + step))
            for name, value in student.state_dict().items():
                average[name].lerp_(value, 1 - keep)
            if step % 100 == 0:
                print(f"step {step}, {100 * share:.0f} %, loss {float(loss.detach()):.3f}", flush=True)
    student.load_state_dict(average)
    return student.eval()


@torch.inference_mode()
def main_components(student: Student, photos: list[np.ndarray]) -> Tensor:
    """COMPONENTS x KEPT: the directions in which the unit vectors of the student's answers differ most, and lie."""
    vectors = []
    for photo in photos[:SAMPLE]:
        pixels = torch.from_numpy(cv2.resize(photo, (320, 256))).permute(2, 0, 1).float()[None]
        vectors.append(functional.normalize(student(pixels)[1], dim=1)[0].flatten(1).T)
    found = torch.cat(vectors)
    return torch.linalg.eigh(found.T @ found)[1].flip(1)[:, :KEPT]


def export(student: Student, turn: Tensor, out: Path) -> None:
    """The shipped network, kernels in half precision."""
    network = Shipped(student, turn).eval()
    free = {2: 32 * Dim("height", min=1, max=256), 3: 32 * Dim("width", min=1, max=256)}
    logging.disable(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (torch.zeros(1, 3, 128, 192),), dynamo=True, input_names=["image"], output_names=["features"],
            dynamic_shapes=(free,), opset_version=18, verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    casts = []
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 4:  # kernels are nearly all of the file; OpenCV wants small tensors as they are
            half, name = onnx.numpy_helper.to_array(tensor).astype(np.float16), tensor.name
            tensor.CopyFrom(onnx.numpy_helper.from_array(half, f"{name}.half"))
            casts.append(onnx.helper.make_node("Cast", [f"{name}.half"], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    graph = model.graph
    for one in (*graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output, graph, model):
        one.ClearField("doc_string")  # the exporter notes the paths of source files
        one.ClearField("metadata_props")
    onnx.checker.check_model(model)
    out.write_bytes(model.SerializeToString())


def main() -> None:
    """Teach, distill, export."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=50)
    args = parser.parse_args()
    photos = [np.ascontiguousarray(image) for _, image in read_images(find_images(args.photos))]
    student = distilled(photos, taught(photos, Teacher(args.teacher)), args.minutes)
    export(student, main_components(student, photos), args.out)


if __name__ == "__main__":
    main()
