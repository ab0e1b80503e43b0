"""Run a study, and its report where that is asked for, and print what time and memory they took.

python scale_driver.py STUDY OUTPUT WORKERS [report]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from lpsmd.ensemble import run_ensemble
from lpsmd.progress import watching
from lpsmd.report import analyse_study, write_results
from lpsmd.study_file import load_study


def peak_MB() -> float:
    """Not by getrusage: that has the peak of the parent in it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    study, output = load_study(sys.argv[1]), Path(sys.argv[2])
    started = time.monotonic()
    with watching() as watcher:
        ensemble = run_ensemble(study, output, workers=int(sys.argv[3]), watcher=watcher)
    run_s, driver_MB = time.monotonic() - started, peak_MB()
    found = {"run_s": run_s, "driver_MB": driver_MB}
    if sys.argv[4:] == ["report"]:
        write_results(analyse_study(study, ensemble))
        found |= {"report_s": time.monotonic() - started - run_s, "report_MB": peak_MB()}
    print(json.dumps(found))
