#include <pybind11/numpy.h>
#include <pybind11/operators.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/dump_reader.h"
#include "core/error.h"
#include "core/msd.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace {

template <class T> using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

/// A read-only view of memory that `owner` keeps alive.
template <class T> py::array view(std::span<const T> data, std::vector<py::ssize_t> shape, py::handle owner)
{
  py::array_t<T> array(std::move(shape), data.data(), owner);
  array.attr("flags").attr("writeable") = false;
  return array;
}

template <class T> py::array copy(std::span<const T> data, std::vector<py::ssize_t> shape)
{
  return py::array_t<T>(std::move(shape), data.data());
}

py::ssize_t size_of(std::size_t n)
{
  return static_cast<py::ssize_t>(n);
}

lpsmd::DumpTrajectory read_dump(const std::vector<std::string> &paths, const std::vector<std::string> &species)
{
  const py::gil_scoped_release released;
  return lpsmd::read_dump(paths, species);
}

void add(lpsmd::MsdAccumulator &self, const Array<double> &positions, const Array<std::int64_t> &selection,
         const Array<double> &drift_weights)
{
  if (positions.ndim() != 3 || positions.shape(2) != 3)
    throw lpsmd::Error("positions have " + std::to_string(positions.ndim()) +
                       " dimensions, an array [frames, atoms, 3] is needed");
  const std::span<const double> x(positions.data(), static_cast<std::size_t>(positions.size()));
  const std::span<const std::int64_t> chosen(selection.data(), static_cast<std::size_t>(selection.size()));
  const std::span<const double> weights(drift_weights.data(), static_cast<std::size_t>(drift_weights.size()));
  const auto n_atoms = static_cast<std::size_t>(positions.shape(1));
  const py::gil_scoped_release released;
  self.add(x, n_atoms, chosen, weights);
}

py::tuple state_of(const lpsmd::MsdAccumulator &self)
{
  const auto n = size_of(self.n_lags());
  return py::make_tuple(self.frame_interval(), copy(self.sums(), {n, 3}), copy(self.counts(), {n}));
}

lpsmd::MsdAccumulator from_state(const py::tuple &state)
{
  if (state.size() != 3) throw lpsmd::Error("a stored MsdAccumulator has three parts; this is of another version");
  const auto sums = state[1].cast<Array<double>>();
  const auto counts = state[2].cast<Array<std::int64_t>>();
  return {state[0].cast<std::int64_t>(), std::vector<double>(sums.data(), sums.data() + sums.size()),
          std::vector<std::int64_t>(counts.data(), counts.data() + counts.size())};
}

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

void bind_msd(py::module_ &m)
{
  using lpsmd::MsdAccumulator;
  py::class_<MsdAccumulator>(m, "MsdAccumulator",
                             "Mergeable sums of squared displacements over all time origins and atoms.")
      .def(py::init<std::size_t, std::int64_t>(), py::kw_only(), py::arg("n_lags"), py::arg("frame_interval"))
      .def("add", &add, py::arg("positions"), py::kw_only(), py::arg("selection"),
           py::arg("drift_weights") = Array<double>(0))
      .def(py::self += py::self)
      .def(py::self == py::self)
      .def_property_readonly("n_lags", &MsdAccumulator::n_lags)
      .def_property_readonly("frame_interval", &MsdAccumulator::frame_interval)
      .def_property_readonly("sums",
                             [](const MsdAccumulator &self) { return copy(self.sums(), {size_of(self.n_lags()), 3}); })
      .def_property_readonly("counts",
                             [](const MsdAccumulator &self) { return copy(self.counts(), {size_of(self.n_lags())}); })
      .def("__copy__", [](const MsdAccumulator &self) { return MsdAccumulator(self); })
      .def("__deepcopy__", [](const MsdAccumulator &self, const py::dict &) { return MsdAccumulator(self); })
      .def(py::pickle(&state_of, &from_state));
}

}  // namespace

void bind_analysis(py::module_ &m)
{
  bind_dump(m);
  bind_msd(m);
}
