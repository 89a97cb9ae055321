"""What every test runs under."""

import os

# Read when torch loads: one thread each, so that parallel test processes do not starve each other at barriers.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
