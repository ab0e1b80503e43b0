"""Settings of all tests: one thread, as replicas that share cores run; Ctrl-C as at a terminal."""

from __future__ import annotations

import os
import signal

pytest_plugins = ["support.resume"]

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# A shell's background job ignores SIGINT, and so do its children: programs that tests interrupt would never end.
signal.signal(signal.SIGINT, signal.default_int_handler)
