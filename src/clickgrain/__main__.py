"""`python -m clickgrain` is `clickgrain`."""

import sys

from clickgrain.cli import main

if __name__ == "__main__":
    sys.exit(main())
