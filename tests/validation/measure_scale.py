"""What 300 replicas of each of six models cost beside LAMMPS: `python tests/validation/measure_scale.py FOLDER`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.scale import measure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="is made, and left there")
    parser.add_argument("--replicas", type=int, default=300, help="of each model")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--replica-s", type=float, default=10.0, help="time of a replica, in two calls of LAMMPS")
    given = parser.parse_args()
    print(measure(given.folder, replicas=given.replicas, workers=given.workers, replica_s=given.replica_s))


if __name__ == "__main__":
    main()
