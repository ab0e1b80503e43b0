#include <pybind11/operators.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/msd.h"
#include "python/arrays.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace {

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

}  // namespace

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
