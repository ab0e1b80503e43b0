"""A finished study that several files of tests look at, and copies of it to damage."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.studies import STUDY, soft_model, study_file

#: Two functionals, two temperatures, two structures with one replica each.
PAIRED = (
    STUDY.replace("[dynamics]", '[[models]]\npath = "./soft_hse06.pt"\n\n[dynamics]')
    .replace("temperature_K = 600", "temperatures_K = [600, 900]")
    .replace("a_A = 10.0", "a_A = 10.0\ninversion = 0.5\ncount = 2")
    .replace("production_ps = 0.4", "production_ps = 0.2")
)

#: What one writes into a notebook; the log goes to a file, as its lines are not to be mixed with what is printed.
NOTEBOOK = """
import json, logging, lpsmd
log = logging.getLogger("lpsmd")
log.setLevel("INFO")
log.addHandler(logging.FileHandler("progress.log"))
study = lpsmd.Study.load("study.toml")
report = study.run("out", workers=2)
found = {name: D.D_cm2_per_s for name, D in study.diffusion("out").items()}
print(json.dumps({"D": found, "complete": study.status("out").complete, "repr": repr(report)}))
"""


@pytest.fixture(scope="session")
def paired_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with study.toml, the results in out, and what the notebook printed in said.json."""
    folder = tmp_path_factory.mktemp("paired")
    soft_model(folder / "soft_hse06.pt", functional="HSE06")
    study_file(folder, PAIRED)
    done = subprocess.run([sys.executable, "-c", NOTEBOOK], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    json.loads(done.stdout)  # nothing else was printed
    (folder / "said.json").write_text(done.stdout)
    return folder
