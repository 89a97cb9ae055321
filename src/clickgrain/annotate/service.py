"""What the routes share: the project, caches, jobs; and the JSON of lists."""

import secrets
import shutil
from collections.abc import Iterable
from typing import Any

from clickgrain import __version__
from clickgrain.annotate.actions import MAX_OBJECTS
from clickgrain.annotate.cache import DiskCache
from clickgrain.annotate.database import Summary
from clickgrain.annotate.documents import MAX_STEPS, STATUSES
from clickgrain.annotate.jobs import Jobs
from clickgrain.annotate.logs import labels_json
from clickgrain.annotate.models import ModelInfo
from clickgrain.annotate.project import Project
from clickgrain.annotate.security import UPLOAD_BYTES
from clickgrain.files import cache_dir, hash_bytes

LITTLE_SPACE = 50_000_000


class Service:
    """A project being served.

    Args:
        project: the project.
        cache: for what can be computed again; a folder of its own in the user's cache when None.
    """

    def __init__(self, project: Project, cache: DiskCache | None = None) -> None:
        self.project = project
        name = hash_bytes(str(project.database.path).encode("utf-8", "surrogateescape"))
        self.cache = cache or DiskCache(cache_dir() / "annotate" / name)
        self.jobs = Jobs(lambda job: project.changes.mark("job", job))
        self.boot = secrets.token_hex(8)

    def close(self) -> None:
        """Stop what runs; everything answered is on disk already."""
        self.jobs.close()
        self.project.close()

    def model_json(self, model: ModelInfo) -> dict[str, Any]:
        """A model as the page receives it."""
        known = next((one for one in self.project.database.models() if one["id"] == model.id), {})
        return _model(model, self.project.model.id, known.get("made"), known.get("report"))

    def models_json(self) -> list[dict[str, Any]]:
        """Every model that the project has used."""
        return [
            _model(
                ModelInfo(*(row[key] for key in ("id", "name", "kind", "hash", "source"))),
                self.project.model.id,
                row["made"],
                row["report"],
            )
            for row in self.project.database.models()
        ]

    def notice(self) -> str | None:
        """What the user should read once: a thread that had to be started again, or how the model was chosen."""
        return self.project.trouble or self.project.notice

    def problem(self) -> str | None:
        """What the user should know at once: a disk that is nearly full."""
        try:
            free = shutil.disk_usage(self.project.database.path.parent).free
        except OSError as error:
            return f"the disk of {self.project.database.path} does not answer ({error.strerror})"
        if free < LITTLE_SPACE:
            return f"only {free / 1e6:.0f} MB are free on the disk of {self.project.database.path}; free some space"
        return None

    def state(self) -> dict[str, Any]:
        """All that the page needs to begin."""
        project = self.project
        folder = str(project.gallery.folder.absolute())
        return {
            "version": __version__,
            "boot": self.boot,
            "project": {
                "name": project.gallery.folder.absolute().name or folder,
                "folder": folder,
                "database": str(project.database.path),
                "read_only": False,
            },
            "model": self.model_json(project.model),
            "notice": self.notice(),
            "compiling": project.compiling.is_on,
            "document": labels_json(project.labels()),
            "counts": self.counts(),
            "change": project.changes.now,
            "statuses": list(STATUSES),
            "limits": {"upload_bytes": UPLOAD_BYTES, "steps": MAX_STEPS, "objects": MAX_OBJECTS},
        }

    def counts(self) -> dict[str, int]:
        """Images by status, objects, clicks, encoded images."""
        summaries = self.project.database.summaries()
        order = self.project.gallery.order
        counts: dict[str, int] = dict.fromkeys(STATUSES, 0)
        for image in order:
            counts[summaries.get(image, Summary()).status] += 1
        return {
            "images": len(order),
            **counts,
            "objects": sum(summary.objects for summary in summaries.values()),
            "clicks": sum(summary.clicks for summary in summaries.values()),
            "encoded": len(self.project.encoded()),
        }

    def entries(self, images: Iterable[int]) -> list[dict[str, Any]]:
        """Images as lists show them."""
        gallery, ready = self.project.gallery, self.project.encoded()
        summaries = self.project.database.summaries()
        entries = []
        for image in images:
            summary = summaries.get(image, Summary())
            entries.append(
                {
                    "id": image,
                    "name": gallery.name(image),
                    "status": summary.status,
                    "objects": summary.objects,
                    "seq": summary.seq,
                    "encoded": image in ready,
                    "missing": image in gallery.missing,
                }
            )
        return entries


def _model(model: ModelInfo, current: str, made: float | None, report: Any) -> dict[str, Any]:
    shown = {"id": model.id, "name": model.name, "kind": model.kind, "hash": model.hash}
    return {**shown, "current": model.id == current, "made": made, "report": report}
