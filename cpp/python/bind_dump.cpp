#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <string>
#include <vector>

#include "core/dump_reader.h"
#include "python/arrays.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace {

lpsmd::DumpTrajectory read_dump(const std::vector<std::string> &paths, const std::vector<std::string> &species)
{
  const py::gil_scoped_release released;
  return lpsmd::read_dump(paths, species);
}

}  // namespace

void bind_dump(py::module_ &m)
{
  using lpsmd::DumpTrajectory;
  const auto n_frames = [](const DumpTrajectory &t) { return size_of(t.timesteps.size()); };
  const auto n_atoms = [](const DumpTrajectory &t) { return size_of(t.ids.size()); };
  const auto get = [](py::handle self) -> const DumpTrajectory & { return self.cast<const DumpTrajectory &>(); };
  py::class_<DumpTrajectory>(m, "DumpTrajectory")
      .def_property_readonly("timesteps",
                             [=](const py::object &self) {
                               const auto &t = get(self);
                               return view<std::int64_t>(t.timesteps, {n_frames(t)}, self);
                             })
      .def_property_readonly("positions",
                             [=](const py::object &self) {
                               const auto &t = get(self);
                               return view<double>(t.positions, {n_frames(t), n_atoms(t), 3}, self);
                             })
      .def_property_readonly("ids",
                             [=](const py::object &self) {
                               const auto &t = get(self);
                               return view<std::int64_t>(t.ids, {n_atoms(t)}, self);
                             })
      .def_property_readonly("cells",
                             [=](const py::object &self) {
                               const auto &t = get(self);
                               return view<double>(t.cells, {n_frames(t), 3, 3}, self);
                             })
      .def_property_readonly("origins",
                             [=](const py::object &self) {
                               const auto &t = get(self);
                               return view<double>(t.origins, {n_frames(t), 3}, self);
                             })
      .def_readonly("elements", &DumpTrajectory::elements)
      .def_readonly("periodic", &DumpTrajectory::periodic)
      .def_readonly("repeated_frames", &DumpTrajectory::repeated_frames);

  m.def("read_dump", &read_dump, py::arg("paths"), py::arg("species") = std::vector<std::string>(),
        "Read the successive LAMMPS custom text dumps of one trajectory (lpsmd.analysis.read_dump).");
}
