"""Published click counts, to stand beside measured ones; and which sets are only for tuning."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from clickgrain.evaluation.layouts import LOADERS

Kind = Literal["label-free", "non-deep", "supervised"]
KINDS: Mapping[Kind, str] = {
    "label-free": "published, trained without labels",
    "non-deep": "published, not trained",
    "supervised": "published, trained on hand-made masks",
}
"""In the order of reports, with what each is called there."""

DEVELOPMENT = frozenset({"bsds"})
"""Sets that methods here were tuned on: their figures show progress and prove nothing."""

PARTS: Mapping[str, str] = {"grabcut21": "grabcut"}
"""Name of a set that is known to be a part of another -> that other."""


@dataclass(frozen=True)
class Anchor:
    """One published row.

    Attributes:
        method: as its authors call it.
        kind: what it was trained with.
        figures: by their names in `Result.summary`; IoU in 0..1.
        source: where the figures are published.
        remark: what must be said beside them.
        compares: False where the authors measured something else under the same name.
    """

    method: str
    kind: Kind
    figures: Mapping[str, float]
    source: str
    remark: str = ""
    compares: bool = True


@dataclass(frozen=True)
class Published:
    """What is published on a set, and how far it compares.

    Attributes:
        name: the published set, as people write it.
        anchors: in the order of `KINDS`.
        caveats: why measured rows do not compare directly; empty where set and protocol are the same.
    """

    name: str
    anchors: tuple[Anchor, ...]
    caveats: tuple[str, ...] = field(default=())


Counts = tuple[float | None, float | None]
"""NoC85 and NoC90."""

_SETS = ("grabcut", "berkeley", "sbd", "davis")
_SHOWN = {
    "grabcut": "GrabCut", "berkeley": "Berkeley", "sbd": "SBD", "davis": "DAVIS", "sstem": "ssTEM",
    "brats": "BraTS", "oai-zib": "OAI-ZIB",
}  # fmt: skip

_MIS = "Li et al., ICCV 2023"
_BESIDE_MIS = "compared with by Li et al., ICCV 2023"
_CLICKS: tuple[tuple[str, Kind, str, str, tuple[Counts, Counts, Counts, Counts]], ...] = (
    ("M2N2", "label-free", "CVPR 2025", "Stable Diffusion 2 attention; 0.6 s per click on an RTX 4090",
     ((1.62, 1.90), (2.45, 3.88), (7.72, 10.94), (4.60, 6.72))),
    ("MIS ViT-B", "label-free", _MIS, "DINO and MAE weights of ImageNet; its own were never released",
     ((1.94, 2.32), (3.09, 4.58), (6.91, 9.51), (6.33, 8.44))),
    ("DSM*", "label-free", _BESIDE_MIS, "pseudo labels, then SimpleClick trained on them",
     ((3.64, 4.64), (5.49, 7.75), (8.59, 11.57), (7.08, 10.11))),
    ("TokenCut*", "label-free", _BESIDE_MIS, "pseudo labels, then SimpleClick trained on them",
     ((3.04, 5.74), (6.30, 9.97), (10.82, 13.16), (10.56, 15.01))),
    ("Geodesic star convexity", "non-deep", _BESIDE_MIS, "",
     ((7.10, 9.12), (None, 12.57), (12.69, 15.31), (15.35, 17.52))),
    ("Graph cut", "non-deep", _BESIDE_MIS, "",
     ((7.98, 10.00), (None, 14.22), (13.60, 15.96), (15.13, 17.41))),
    ("Random walk", "non-deep", _BESIDE_MIS, "",
     ((11.36, 13.77), (None, 14.02), (12.22, 15.04), (16.71, 18.31))),
    ("SimpleClick-B", "supervised", "Liu et al., ICCV 2023", "COCO and LVIS masks; 1.26 s per click on a CPU",
     ((1.38, 1.48), (1.36, 1.97), (3.43, 5.62), (3.66, 5.06))),
    ("FocalClick B0-S2", "supervised", "Chen et al., CVPR 2022", "0.02 s per click on a CPU",
     ((1.40, 1.66), (1.59, 2.27), (4.56, 6.86), (4.04, 5.49))),
    ("SAM-H", "supervised", "published with NoC90 alone", "0.35 s per click on a CPU, its decoder 0.02 s",
     ((None, 1.88), (None, 2.09), (None, 7.62), (None, 5.19))),
)  # fmt: skip
"""Method, kind, source, remark, and (NoC85, NoC90) on each of `_SETS`."""

_SCANS = {"sstem": (0.28, 0.63, 0.87), "brats": (0.10, 0.43, 0.70), "oai-zib": (0.17, 0.48, 0.62)}
"""mIoU at 1, 3 and 5 clicks of SimpleClick-B."""

_OTHER_MEANING = {
    ("M2N2", "sbd"): "its SBD merges the instances of a class, so that these figures are of another task",
}


def published(name: str, targets: int) -> Published | None:
    """What is published on the set called `name`, or on the set that it is a part of; None where nothing is.

    Args:
        name: of a benchmark, as given on the command line.
        targets: how many were evaluated; another number than published becomes a caveat.
    """
    given = name.lower().replace("_", "-")
    known = PARTS.get(given, given)
    anchors = _anchors(known)
    if not anchors:
        return None
    complete = LOADERS[known].targets
    caveats = []
    if complete is not None and targets != complete:
        caveats.append(
            f"{name} is not the published set: {targets} of the {complete} targets of {_SHOWN[known]} were judged"
            f" here, the published rows are means over all {complete}"
        )
    elif known != given:
        caveats.append(f"{name} is a part of {_SHOWN[known]}; the published rows are means over all of it")
    return Published(_SHOWN[known], anchors, tuple(caveats))


def is_development(name: str) -> bool:
    """Whether methods here were tuned on this set."""
    return name.lower() in DEVELOPMENT


def _anchors(known: str) -> tuple[Anchor, ...]:
    if known in _SCANS:
        figures = dict(zip(("mIoU@1", "mIoU@3", "mIoU@5"), _SCANS[known]))
        remark = "trained on photos, never on scans"
        return (Anchor("SimpleClick-B", "supervised", figures, "Liu et al., ICCV 2023", remark),)
    if known not in _SETS:
        return ()
    place = _SETS.index(known)
    return tuple(
        _click_counts(method, kind, source, remark, counts[place], known)
        for method, kind, source, remark, counts in _CLICKS
    )


def _click_counts(method: str, kind: Kind, source: str, remark: str, counts: Counts, known: str) -> Anchor:
    figures = {name: value for name, value in zip(("NoC85", "NoC90"), counts) if value is not None}
    other = _OTHER_MEANING.get((method, known), "")
    return Anchor(method, kind, figures, source, "; ".join(filter(None, (remark, other))), compares=not other)
