"""`python -m studies NAME`: the paper's studies, each a table. The table on stdout, the rest on stderr."""

import sys

from clickgrain.commands.parsing import run
from clickgrain.errors import ClickgrainError
from studies.config import StudyArgs
from studies.plans import STUDIES, plan


def main(argv: list[str] | None = None) -> int:
    """Run a study, or list what there is; returns the exit status."""
    try:
        return run(study, sys.argv[1:] if argv is None else argv, prog="python -m studies")
    except ClickgrainError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; finished work is kept", file=sys.stderr)
        return 130


def study(args: StudyArgs) -> None:
    """What a call asks for."""
    if args.list and args.study is None:
        width = max(map(len, STUDIES))
        for name, known in STUDIES.items():
            print(f"{name:{width}}  {known.question}")
    elif args.list:
        for number, variant in enumerate(plan(args, "cpu"), 1):
            print(f"{number:2} {variant.name}")
    else:
        from studies.run import run_study  # torch; the lists do without

        table = run_study(args)
        print(table.markdown())
        print(f"{args.out}/{args.study}.html")


if __name__ == "__main__":
    sys.exit(main())
