# What all targets of lpsmd share: C++20, all warnings (errors under `make`), no global flags.

function(lpsmd_compile_options target)
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/cpp")
  # "loop not vectorized" is advice to whoever tunes loops for clang, not a fault of the code
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wpedantic -Wshadow $<$<BOOL:${LPSMD_WERROR}>:-Werror>)
  if(LPSMD_SANITIZE)
    # UBSan must stop too: without this it only prints
    target_compile_options(${target} PRIVATE -fsanitize=${LPSMD_SANITIZE} -fno-sanitize-recover=all -g)
    string(REPLACE ",fuzzer-no-link" "" link_sanitizers "${LPSMD_SANITIZE}")
    target_link_options(${target} PRIVATE -fsanitize=${link_sanitizers})
  endif()
endfunction()

# A static library of one room, linked into the modules below.
function(lpsmd_library target)
  add_library(${target} STATIC ${ARGN})
  lpsmd_compile_options(${target})
endfunction()

# A library that a host program loads: NAME.so in the Python package.
function(lpsmd_module target name)
  add_library(${target} MODULE ${ARGN})
  lpsmd_compile_options(${target})
  set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME "${name}")
  # LAMMPS closes plugins on `clear` and when one of two instances ends: code in use must stay mapped.
  target_link_options(${target} PRIVATE -Wl,-z,nodelete)
  install(TARGETS ${target} LIBRARY DESTINATION lpsmd)
endfunction()
