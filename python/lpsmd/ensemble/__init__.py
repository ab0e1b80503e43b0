"""The replicas of a study: hundreds of LAMMPS runs of which none is lost, doubled or forgotten.

`run_ensemble` (driver) decides what is needed (waves), gives it to Parsl (engine), whose workers run one replica each
(worker) in a folder with a lock (locks) and a record (records). `study_status` (overview) reads the same records.
"""

from __future__ import annotations

from lpsmd.ensemble.claim import default_output, read_plan
from lpsmd.ensemble.driver import Watcher, run_ensemble
from lpsmd.ensemble.failures import Failure, FailureKind
from lpsmd.ensemble.files import EnsembleError
from lpsmd.ensemble.outcomes import Ensemble, ReplicaOutcome, read_ensemble
from lpsmd.ensemble.overview import ConditionStatus, StudyStatus, study_status
from lpsmd.ensemble.records import Thermo
from lpsmd.ensemble.replicas import Plan, Replica

__all__ = [
    "ConditionStatus",
    "Ensemble",
    "EnsembleError",
    "Failure",
    "FailureKind",
    "Plan",
    "Replica",
    "ReplicaOutcome",
    "StudyStatus",
    "Thermo",
    "Watcher",
    "default_output",
    "read_ensemble",
    "read_plan",
    "run_ensemble",
    "study_status",
]
