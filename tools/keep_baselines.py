"""Keep figures of slow methods in the package, so that reports show them without measuring again.

    clickgrain evaluate --model graph-cut --data bsds=DIR --out OUT
    python tools/keep_baselines.py OUT

writes or replaces a row of `src/clickgrain/evaluation/baselines.json` for every evaluation by the robot in OUT. A
report shows the row, as measured before, where the content of the data set is the same.
"""

import json
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from clickgrain.commands.evaluate import EvaluateArgs, command_line
from clickgrain.evaluation import Result

TABLE = Path(__file__).parents[1] / "src" / "clickgrain" / "evaluation" / "baselines.json"
PACKAGES = ("numpy", "opencv-python-headless", "scikit-image", "scipy")


def row_of(result: Result, data_hash: str, day: str) -> dict[str, Any]:
    """One row: the figures, and all that they depend on."""
    args = EvaluateArgs((result.model,), (f"{result.benchmark}=DIR",), settings=result.settings)
    parts = ("_small", "_medium", "_large")
    figures = {
        k: v if isinstance(v, int) else round(v, 5) for k, v in result.summary().items() if not k.endswith(parts)
    }
    return {
        "method": result.model, "data": result.benchmark, "data_hash": data_hash,
        "max_clicks": result.settings.max_clicks, "threshold": result.settings.threshold,
        "command": command_line(args), "date": day, "versions": {name: version(name) for name in PACKAGES},
        "figures": figures,
    }  # fmt: skip


def main(folder: Path) -> None:
    """Replace the rows of one folder's evaluations."""
    rows = {(row["method"], row["data"]): row for row in json.loads(TABLE.read_text())["rows"]}
    for path in sorted(folder.glob("*.jsonl")):
        with path.open() as file:
            head = json.loads(file.readline())
        result = Result.from_json(path.with_suffix(".json").read_text())
        if result.user == "robot" and not result.failed:
            rows[result.model, result.benchmark] = row_of(result, head["data"], date.today().isoformat())
            print(f"{result.model} on {result.benchmark}: {len(result.rows)} targets")
    lines = ",\n".join(f" {json.dumps(row)}" for _, row in sorted(rows.items()))
    TABLE.write_text(f'{{"rows": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(Path(sys.argv[1]))
