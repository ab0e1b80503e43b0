# libtorch of the installed torch wheel, CPU or CUDA, found by asking Python where it lies.
#
# Sets TorchWheel_VERSION and defines TorchWheel::torch.
# (find_package(Torch) of a CUDA wheel insists on a CUDA toolkit; we compile no device code, so it is not used.)

execute_process(
  COMMAND
    "${Python_EXECUTABLE}" -c
    "import importlib.metadata as m, re
d = m.distribution('torch'); print(d.locate_file('torch'), re.match(r'[0-9.]+', d.version).group(0), sep=';')"
  OUTPUT_VARIABLE _torch_wheel
  ERROR_VARIABLE _torch_wheel_error
  OUTPUT_STRIP_TRAILING_WHITESPACE)
if(_torch_wheel)
  list(GET _torch_wheel 0 TorchWheel_ROOT)
  list(GET _torch_wheel 1 TorchWheel_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  TorchWheel
  REQUIRED_VARS TorchWheel_ROOT
  VERSION_VAR TorchWheel_VERSION
  REASON_FAILURE_MESSAGE "pip install the torch that pyproject.toml names. ${_torch_wheel_error}")

if(TorchWheel_FOUND AND NOT TARGET TorchWheel::torch)
  add_library(TorchWheel::torch INTERFACE IMPORTED)
  target_include_directories(TorchWheel::torch SYSTEM INTERFACE "${TorchWheel_ROOT}/include"
                                                                "${TorchWheel_ROOT}/include/torch/csrc/api/include")
  # libtorch.so itself has no symbols we use, but drags in the CUDA half of a CUDA wheel: keep it as needed.
  target_link_libraries(
    TorchWheel::torch
    INTERFACE "-Wl,--no-as-needed" "${TorchWheel_ROOT}/lib/libtorch.so" "-Wl,--as-needed"
              "${TorchWheel_ROOT}/lib/libtorch_cpu.so" "${TorchWheel_ROOT}/lib/libc10.so")
endif()
