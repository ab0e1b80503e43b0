#include "core/error.h"
#include "core/sha256.h"
#include "python/bindings.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, module)
{
  module.doc() = "Compiled core of lpsmd: neighbour graphs, dump reader, mean squared displacements.";
  // Bad input in the core and in the Python layers raises the same exception.
  const py::object error_type = py::module_::import("lpsmd.errors").attr("LpsmdError");
  static PyObject *const lpsmd_error = py::object(error_type).release().ptr();
  py::register_exception_translator([](std::exception_ptr pending) {
    try {
      if (pending) std::rethrow_exception(pending);
    } catch (const lpsmd::Error &error) {
      PyErr_SetString(lpsmd_error, error.what());
    }
  });
  module.def(
      "sha256_of_file", &lpsmd::sha256_of_file, py::arg("path"),
      "SHA-256 of a file's bytes in hexadecimal, by which a LAMMPS restart knows its model. Raises LpsmdError if the "
      "file cannot be read.");
  bind_graph(module);
  bind_dump(module);
  bind_msd(module);
}
