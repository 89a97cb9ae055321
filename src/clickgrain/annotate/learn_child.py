"""`learn` in the process that the server starts, in the run's folder, where it writes down how far it is."""

import os
import signal
import sys
from pathlib import Path

from clickgrain.errors import ClickgrainError
from clickgrain.training.progress import Quiet


def main(photos: str, minutes: str, *ignore: str) -> int:
    """Learn in the current folder; the exit status."""
    from clickgrain.training.learn import learn
    from clickgrain.training.learn_args import LearnArgs

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    os.umask(os.umask(0o022) | 0o022)  # folders in which others can put something are not gone on with
    args = LearnArgs(Path(photos), Path(), minutes=float(minutes), ignore=ignore)
    try:
        learn(args, Quiet())
    except ClickgrainError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
