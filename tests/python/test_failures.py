"""What is made of the last words of a run."""

from __future__ import annotations

import signal

import pytest

from lpsmd.ensemble.failures import FailureKind, classify

ELSEWHERE = "Last input line: run 1000\n"
# Of LAMMPS 22 Jul 2025, torch 2.13, glibc, bash, mpich and Slurm 22.05, as they stand on the screen.
SAID = {
    "ERROR: Lost atoms: original 52 current 48 (src/thermo.cpp:488)": (1, FailureKind.LOST_ATOMS),
    "ERROR on proc 0: Out of range atoms - cannot compute PPPM (src/KSPACE/pppm.cpp:1890)": (1, FailureKind.LOST_ATOMS),
    "ERROR: Non-numeric pressure - simulation unstable (src/fix_nh.cpp:1049)": (1, FailureKind.UNSTABLE),
    "ERROR on proc 0: Non-numeric atom coords - simulation unstable (src/domain.cpp:603)": (1, FailureKind.UNSTABLE),
    "ERROR: step 7: model m.pt gave an energy or forces that are not finite numbers: the structure has left what it "
    "was trained on. Look at the last frames, and at the time step": (1, FailureKind.UNSTABLE),
    "ERROR: step 7: the position of atom 3 is not a finite number: the dynamics has exploded, or the structure is "
    "broken. Look at the last frames, and at the time step": (1, FailureKind.UNSTABLE),
    "ERROR: step 7: atom 3 (Li) has 61 neighbours of type S, the model has room for 60 (its sel): the structure is "
    "denser than the model allows. Check it for overlapping atoms": (1, FailureKind.UNSTABLE),
    "ERROR: Domain too large for neighbor bins (src/nbin_standard.cpp:120)": (1, FailureKind.UNSTABLE),
    "ERROR: Fix npt has tilted box too far in one step - periodic cell is too far from equilibrium state": (
        1,
        FailureKind.UNSTABLE,
    ),
    "ERROR: step 0: out of memory on cuda:0 for 52 atoms and 2000 edges: use more or larger devices (CUDA out of "
    "memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB)": (1, FailureKind.MEMORY),
    "ERROR on proc 0: Failed to allocate 8000000000 bytes for array atom:x (src/memory.cpp:56)": (
        1,
        FailureKind.MEMORY,
    ),
    "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc": (
        -signal.SIGABRT,
        FailureKind.MEMORY,
    ),
    "ERROR: step 0: the model's program failed on cuda:0 for 52 atoms and 2000 edges: CUDA error: "
    "CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`": (1, FailureKind.MEMORY),
    "slurmstepd: error: Detected 1 oom_kill event in StepId=7.0. Some of the step tasks have been OOM Killed.": (
        137,
        FailureKind.MEMORY,
    ),
    "ERROR: pair_style lpsmd cannot load its library (libtorch_cpu.so: failed to map segment from shared object). It "
    "was built for torch 2.13.0": (1, FailureKind.MEMORY),
    "ERROR: step 3: the model's program failed on cuda:0 for 52 atoms and 2000 edges: CUDA error: uncorrectable ECC "
    "error encountered": (1, FailureKind.NODE),
    "ERROR: CUDA error: CUDA-capable device(s) is/are busy or unavailable": (1, FailureKind.NODE),
    "ERROR: Cannot open dump file ./chunk.1.dump.gz: No space left on device (src/dump.cpp:579)": (1, FailureKind.DISK),
    "ERROR: I/O error while writing restart (src/write_restart.cpp:375)": (1, FailureKind.DISK),
    "cp: error writing 'x': Disk quota exceeded": (1, FailureKind.DISK),
    "ERROR: Cannot open logfile ./chunk.1.log: Read-only file system (src/input.cpp:1167)": (1, FailureKind.STORAGE),
    "ERROR: Cannot open restart file chunk.0.restart: Stale file handle": (1, FailureKind.STORAGE),
    "ERROR: Unrecognized pair style 'lpsmd' (src/force.cpp:275)": (1, FailureKind.PROGRAM),
    "ERROR: Unrecognized dump style 'custom/gz' is part of the COMPRESS package which is not enabled in this LAMMPS "
    "binary.": (1, FailureKind.PROGRAM),
    "ERROR: pair_style lpsmd was built for LAMMPS 20250722, this is LAMMPS 20240829: install the other": (
        1,
        FailureKind.PROGRAM,
    ),
    "lmp: error while loading shared libraries: libmpi.so.12: cannot open shared object file": (
        127,
        FailureKind.PROGRAM,
    ),
    "lmp.sh: line 3: lmp: command not found": (127, FailureKind.PROGRAM),
    "lmp.sh: line 3: /opt/lmp: cannot execute: required file not found": (126, FailureKind.PROGRAM),
    "[proxy:0@node7] HYDU_create_process: execvp error on file lmp (No such file or directory)": (
        255,
        FailureKind.PROGRAM,
    ),
    "Operating system error: Cannot allocate memory\nAllocation would exceed memory limit": (1, FailureKind.MEMORY),
    "Error allocating 800000000 bytes": (1, FailureKind.MEMORY),
    "ERROR: Unknown command: rnu 100 (src/input.cpp:314)": (1, FailureKind.LAMMPS),
    "ERROR: step 1: the model's program failed on cpu for 2 atoms and 2 edges: AssertionError: two atoms sit on each "
    "other": (1, FailureKind.LAMMPS),
}


@pytest.mark.parametrize("said", SAID, ids=lambda said: said[:50])
def test_the_kind_and_the_line_that_tells_it(said: str) -> None:
    code, kind = SAID[said]
    found = classify(said=f"LAMMPS (22 Jul 2025)\n{said}\n{ELSEWHERE}", exit_code=code)
    assert found is not None
    assert found[0] is kind
    assert said.splitlines()[0] in found[1]


@pytest.mark.parametrize("code", [-9, 128 + 9, 256 - 9], ids=["directly", "through a shell", "through Python"])
def test_a_signal_is_told_from_the_exit_code(code: int) -> None:
    assert classify(said="", exit_code=code) == (
        FailureKind.KILLED,
        "lmp was ended by SIGKILL: by the system if memory ran out, or by someone",
    )


def test_any_other_signal_is_told_by_its_name() -> None:
    assert classify(said="", exit_code=-signal.SIGSEGV) == (FailureKind.KILLED, "lmp was ended by SIGSEGV")
    assert classify(said="", exit_code=-signal.SIGSEGV, program="pw.x") == (
        FailureKind.KILLED,
        "pw.x was ended by SIGSEGV",
    )


@pytest.mark.parametrize("code", [1, 3, 128, 255])
def test_an_exit_code_alone_tells_nothing(code: int) -> None:
    assert classify(said="Loop time of 1 on 1 procs\n", exit_code=code) is None


@pytest.mark.parametrize(
    "warning",
    [
        "bash: /etc/profile.d/site.sh: Permission denied",
        "[1700000000.1] [node7:1] UCX  ERROR no space left on device: Input/output error",
        "WARNING: out of memory in the cache of kernels, goes on without",
    ],
)
def test_warnings_of_others_are_no_failure_where_lammps_ended_well(warning: str) -> None:
    assert classify(said=f"{warning}\nLoop time of 1 on 1 procs\n", exit_code=0) is None


def test_what_lammps_itself_said_counts_more_than_what_was_said_around_it() -> None:
    said = "bash: /etc/profile.d/site.sh: Permission denied\nERROR: Lost atoms: original 52 current 48\n"
    assert classify(said=said, exit_code=1) == (FailureKind.LOST_ATOMS, "ERROR: Lost atoms: original 52 current 48")


def test_an_error_counts_whatever_the_exit_code() -> None:
    found = classify(said="ERROR: Lost atoms: original 52 current 48\n", exit_code=0)
    assert found is not None
    assert found[0] is FailureKind.LOST_ATOMS


def test_what_can_pass_stops_no_study_and_is_not_of_the_motion() -> None:
    for kind in FailureKind:
        assert kind.can_pass + kind.stops_study + kind.is_physical <= 1, kind
