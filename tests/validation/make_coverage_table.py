"""Write the table of docs/estimators.md: how often each estimator's interval holds the true D.

    .venv/bin/python tests/validation/make_coverage_table.py --ensembles 2000 --write

Every kind of motion has a fixed seed, so the table comes out the same again. Without --write it is printed.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
# each process has a core of its own
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from lpsmd.analysis import Verdict
from support.coverage import LEVELS, Tally, measure, measure_single
from support.ensembles import KINDS

DOCS = Path(__file__).parents[2] / "docs" / "estimators.md"
BEGIN, END = "<!-- coverage table: begin -->", "<!-- coverage table: end -->"
ESTIMATORS = ("brownian", "gls", "wls-ice", "bootstrap", "ols")
COLUMNS = (
    "motion",
    "estimator",
    "replicas",
    "68 %",
    "95 %",
    "bias / s.e.",
    "s.e. / D",
    "diffusive",
    "not yet diffusive",
)


def row(tally: Tally) -> str:
    """One line of the table; coverage and verdicts in per cent."""
    cells = [
        tally.kind,
        tally.estimator,
        str(tally.n_replicas),
        *(f"{100 * tally.coverage(level):.1f}" if tally.true_D_A2_per_ps else "" for level in LEVELS),
        f"{tally.bias_standard_errors:+.3f}" if tally.true_D_A2_per_ps else "",
        f"{100 * tally.relative_standard_error:.2f} %" if tally.true_D_A2_per_ps else "",
        f"{100 * tally.share(Verdict.DIFFUSIVE):.1f}",
        f"{100 * tally.share(Verdict.NOT_YET_DIFFUSIVE):.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ensembles", type=int, default=2000, help="of each kind and number of replicas")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--write", action="store_true", help="into docs/estimators.md")
    options = parser.parse_args()
    jobs: list[Future[list[Tally] | Tally]] = []
    with ProcessPoolExecutor(options.processes) as pool:
        for name, kind in KINDS.items():
            estimators = ESTIMATORS if kind.D_A2_per_ps else ("brownian",)
            jobs.append(pool.submit(measure, name, options.ensembles, estimators=estimators))
        jobs += [pool.submit(measure_single, name, options.ensembles) for name in KINDS]
        tallies: list[Tally] = []
        for number, job in enumerate(jobs, 1):
            found = job.result()
            tallies += found if isinstance(found, list) else [found]
            print(f"{number} of {len(jobs)} done", file=sys.stderr)
    tallies.sort(key=lambda tally: ("brownian", "blocks", *ESTIMATORS[1:]).index(tally.estimator))
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS), *map(row, tallies)]
    table = f"{options.ensembles} ensembles a row, a quarter for the bootstrap.\n\n" + "\n".join(lines)
    if not options.write:
        print(table)
        return
    text = DOCS.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    DOCS.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
