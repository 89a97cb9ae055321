"""Keep finished evaluations with the code, so that `clickgrain evaluate` need not repeat them.

    python benchmarks/keep_results.py OUT [--model M ...] [--data NAME=DIR ...]

OUT is a folder that `clickgrain evaluate --out` wrote. Evaluations with errors, or with fewer targets than
their set has, are left out; `--partial` keeps the latter too, and `clickgrain evaluate` then goes on from
them. With `--data`, files of that set whose first line lacks the hashes of method and data get those of the
code and the data as they are now: only right if neither has changed since.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from clickgrain.commands.options import parse_data
from clickgrain.errors import ClickgrainError
from clickgrain.evaluation import Benchmark, Method, load_benchmark
from clickgrain.evaluation.committed import FOLDER, keep
from clickgrain.evaluation.fingerprint import data_hash
from clickgrain.evaluation.journal import read_header, read_rows

Head = Mapping[str, object]


def main() -> int:
    """Copy, and name what was left out; 1 if anything was."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", action="append", help="only of these methods")
    parser.add_argument("--data", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--partial", action="store_true", help="unfinished evaluations too")
    parser.add_argument("--to", type=Path, default=Path(__file__).parents[1] / FOLDER)
    args = parser.parse_args()
    sets = {name: load_benchmark(name, folder) for name, folder in map(parse_data, args.data)}
    left = 0
    for path in sorted(args.out.glob("*.jsonl")):
        try:
            head = read_header(path)
            if args.model and head["model"] not in args.model:
                continue
            kept = keep(path, args.to, _changes(path, head, sets, args.partial))
            print(f"{kept.name}: {len(read_rows(kept))} targets, {kept.stat().st_size / 1024:.0f} KiB")
        except ClickgrainError as error:
            left += 1
            print(f"left out: {error}", file=sys.stderr)
    return 1 if left else 0


def _changes(path: Path, head: Head, sets: Mapping[str, Benchmark], partial: bool) -> dict[str, str]:
    """The hashes that an old header lacks; raises for an unfinished evaluation unless it may be `partial`."""
    benchmark = sets.get(str(head["benchmark"]))
    if benchmark is None:
        return {}
    done, wanted = len(read_rows(path)), len(benchmark)
    if done < wanted and not partial:
        raise ClickgrainError(f"{path}: {done} of {wanted} targets; finish it first")
    if head.get("method") and head.get("data"):
        return {}
    return {"method": Method(str(head["model"])).code, "data": data_hash(benchmark)}


if __name__ == "__main__":
    sys.exit(main())
