"""The model card of a trained model, README.md in its folder, written from what the run left there."""

import json
from pathlib import Path
from typing import Any

from clickgrain import __version__
from clickgrain.devices import process_number
from clickgrain.files import atomic_write
from clickgrain.training.run_dir import METRICS, RUN, writing
from clickgrain.weights import CARD, TENSORS, read_config

SAID = ("recipe", "extractor", "seed", "batch", "crop", "lr", "any_orientation", "cutouts", "start", "from_scratch")
"""Settings of the command that the card names where they were given."""


def write_card(folder: Path) -> None:
    """Write the card of a finished run, unless someone has edited the one that is there; the first process does."""
    if process_number()[0] > 0:
        return
    path, mark = folder / CARD, "<!-- written by clickgrain; remove this line to keep your changes -->\n"
    with writing("model card", path, "the model is there"):
        if path.exists() and mark not in path.read_text(encoding="utf-8", errors="replace"):
            return
        atomic_write(path, model_card(folder).replace("\n\n", f"\n\n{mark}\n", 1).encode())


def model_card(folder: Path) -> str:
    """Markdown with the metadata that Hugging Face reads, from config.json, run.json and metrics.jsonl."""
    config = read_config(folder)
    run: dict[str, Any] = json.loads((folder / RUN).read_text())
    metrics = folder / METRICS
    lines = [json.loads(line) for line in metrics.read_text().splitlines()] if metrics.exists() else []
    steps = [line for line in lines if "loss" in line]
    checks = [line for line in lines if "loss" not in line and "skipped" not in line]
    asked, finetuned = run["asked"], "labels" in run["asked"]
    rows = [
        ("Architecture", f"`{config['kind']}`, {(folder / TENSORS).stat().st_size / 1e6:.1f} MB of weights"),
        ("Images", f"{run['pictures']} with masks, {asked['labels']:.1%} of a set")
        if finetuned
        else ("Photos and composites", f"{run['pictures']}, unlabelled"),
        *(
            [("Accepted objects", f"{len(run['objects'])} (their names are in run.json)")]
            if "objects" in run
            else []
        ),
        ("Steps", f"{run.get('done', run['steps'])}, the last loss {steps[-1]['loss']:.4f}" if steps else "none"),
        ("Precision", run.get("precision", "float32")),
        *((name.replace("_", " ").capitalize(), f"`{asked[name]}`") for name in SAID if asked.get(name)),
        ("clickgrain", config.get("clickgrain", __version__)),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows)
    checked = "The run was not validated."
    if checks:
        last = {name: value for name, value in checks[-1].items() if name != "step" and value is not None}
        figures = "\n".join(f"| {name} | {value:.3f} |" for name, value in last.items())
        checked = (
            f"Robot clicks on held-out targets, after step {checks[-1]['step']} (NoC85: mean clicks to IoU 0.85, at"
            f" most 20, lower is better; mIoU@1: mean IoU after one click):\n\n| | |\n|---|---|\n{figures}"
        )
    regions = (
        "its masks were regions of merge trees of images, and clicks on them were simulated (Multi-granularity"
        " Interaction Simulation, ICCV 2023)"
    )
    if finetuned:
        how = "Fine-tuned on masks: it is not label-free."
    elif "objects" in run:
        how = (
            f"Half of its samples show objects that people accepted: it is not label-free. Of the rest, {regions}."
        )
    elif config.get("labelled"):
        how = f"It continues a model that was trained on masks of people: it is not label-free. Here {regions}."
    else:
        how = f"Trained without labels: {regions}."
    kind = "fine-tuned" if config.get("labelled") else "self-supervised"
    text = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
    return text.format(how=how, kind=kind, table=table, checked=checked)
