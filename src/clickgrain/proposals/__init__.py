"""Proposals: regions drawn from merge trees as pseudo masks, the store that keeps the trees, and composites.

Names resolve on first use (PEP 562), so that the argument dataclasses import neither torch, cv2 nor numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_PUBLIC = {
    "AREA": "laws",
    "LEVEL": "laws",
    "PAPER": "laws",
    "Composite": "composites",
    "CompositeLaw": "laws",
    "Cutout": "cutouts",
    "Draw": "sampling",
    "Failure": "pipeline",
    "ProposalMeta": "store",
    "ProposalStore": "store",
    "ProposeArgs": "args",
    "ProposeReport": "pipeline",
    "SamplingLaw": "laws",
    "Shard": "args",
    "composite": "composites",
    "draw_proposals": "sampling",
    "plain_background_object": "cutouts",
    "object_cutout": "cutouts",
    "proposal_at": "sampling",
    "propose": "pipeline",
    "region_cutout": "cutouts",
    "salient_object": "objects",
    "solid_cutout": "cutouts",
    "sample_proposal": "sampling",
    "sample_proposals": "sampling",
    "THINGS": "things",
    "read_cutout": "things",
    "retextured": "things",
}
__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:
    from clickgrain.proposals.args import ProposeArgs as ProposeArgs
    from clickgrain.proposals.args import Shard as Shard
    from clickgrain.proposals.composites import Composite as Composite
    from clickgrain.proposals.composites import composite as composite
    from clickgrain.proposals.cutouts import Cutout as Cutout
    from clickgrain.proposals.cutouts import object_cutout as object_cutout
    from clickgrain.proposals.cutouts import plain_background_object as plain_background_object
    from clickgrain.proposals.cutouts import region_cutout as region_cutout
    from clickgrain.proposals.cutouts import solid_cutout as solid_cutout
    from clickgrain.proposals.laws import AREA as AREA
    from clickgrain.proposals.laws import LEVEL as LEVEL
    from clickgrain.proposals.laws import PAPER as PAPER
    from clickgrain.proposals.laws import CompositeLaw as CompositeLaw
    from clickgrain.proposals.laws import SamplingLaw as SamplingLaw
    from clickgrain.proposals.objects import salient_object as salient_object
    from clickgrain.proposals.pipeline import Failure as Failure
    from clickgrain.proposals.pipeline import ProposeReport as ProposeReport
    from clickgrain.proposals.pipeline import propose as propose
    from clickgrain.proposals.sampling import Draw as Draw
    from clickgrain.proposals.sampling import draw_proposals as draw_proposals
    from clickgrain.proposals.sampling import proposal_at as proposal_at
    from clickgrain.proposals.sampling import sample_proposal as sample_proposal
    from clickgrain.proposals.sampling import sample_proposals as sample_proposals
    from clickgrain.proposals.store import ProposalMeta as ProposalMeta
    from clickgrain.proposals.store import ProposalStore as ProposalStore
    from clickgrain.proposals.things import THINGS as THINGS
    from clickgrain.proposals.things import read_cutout as read_cutout
    from clickgrain.proposals.things import retextured as retextured


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'clickgrain.proposals' has no attribute {name!r}")
    return getattr(import_module(f"clickgrain.proposals.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
