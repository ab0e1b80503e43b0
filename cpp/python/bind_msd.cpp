#include <pybind11/operators.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/msd.h"
#include "core/streaming_msd.h"
#include "python/arrays.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace {

using lpsmd::MsdAccumulator;
using lpsmd::Population;
using lpsmd::StreamingMsd;

template <class T> std::span<const T> span_of(const Array<T> &array)
{
  return {array.data(), static_cast<std::size_t>(array.size())};
}

template <class T> std::vector<T> vector_of(const Array<T> &array)
{
  return {array.data(), array.data() + array.size()};
}

/// Integers as they are: a mask is no list of atoms, and a half is not to be cut off.
Array<std::int64_t> integers_of(const py::object &values, const std::string &name, const std::string &advice)
{
  const py::array array = py::array::ensure(values);
  if (!array) throw lpsmd::Error(name + " is no array of integers: " + advice);
  if (array.size() == 0) return Array<std::int64_t>(0);
  if (array.dtype().kind() != 'i' && array.dtype().kind() != 'u')
    throw lpsmd::Error(name + " holds values of type " + std::string(py::str(array.dtype())) +
                       ", integers are needed: " + advice);
  const auto integers = Array<std::int64_t>::ensure(array);
  if (!integers) throw py::error_already_set();
  if (array.dtype().kind() == 'u')
    for (const std::int64_t value : span_of(integers))
      if (value < 0) throw lpsmd::Error(name + " holds a value above 2^63 - 1, smaller ones are needed: " + advice);
  return integers;
}

Array<std::int64_t> steps_of(const py::object &timesteps)
{
  return integers_of(timesteps, "timesteps", "give steps of the integrator, or numbers of frames");
}

Array<std::int64_t> lags_of(const py::object &lag_steps)
{
  return integers_of(lag_steps, "lag_steps", "give steps of the integrator, as `lag_steps_of` does");
}

Array<std::int64_t> atoms_chosen(const py::object &selection)
{
  return integers_of(selection, "selection", "give indices, np.flatnonzero(mask) of a mask");
}

/// Atoms per frame of an array [frames, atoms, 3].
std::size_t atoms_of(const Array<double> &positions)
{
  if (positions.ndim() != 3 || positions.shape(2) != 3)
    throw lpsmd::Error("positions have " + std::to_string(positions.ndim()) +
                       " dimensions, an array [frames, atoms, 3] is needed");
  return static_cast<std::size_t>(positions.shape(1));
}

/// Ctrl-C and other signals, from a thread that has let go of the interpreter.
void check_signals()
{
  const py::gil_scoped_acquire held;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

void add(MsdAccumulator &self, const Array<double> &positions, const py::object &timesteps, const py::object &selection,
         const Array<double> &drift_weights, std::int64_t threads, bool quartic)
{
  if (threads < 1) throw lpsmd::Error("found " + std::to_string(threads) + " threads, at least 1 is needed");
  const std::size_t n_atoms = atoms_of(positions);
  const auto x = span_of(positions);
  const Array<std::int64_t> step_array = steps_of(timesteps);
  const auto steps = span_of(step_array);
  const Array<std::int64_t> atom_array = atoms_chosen(selection);
  const auto chosen = span_of(atom_array);
  const auto weights = span_of(drift_weights);
  const py::gil_scoped_release released;
  self.add(x, n_atoms, steps, chosen, weights, static_cast<std::size_t>(threads), quartic, check_signals);
}

void add_collective(MsdAccumulator &self, const Array<double> &positions, const py::object &timesteps,
                    const Array<double> &charges, const Array<double> &drift_weights)
{
  const std::size_t n_atoms = atoms_of(positions);
  const auto x = span_of(positions);
  const Array<std::int64_t> step_array = steps_of(timesteps);
  const auto steps = span_of(step_array);
  const auto q = span_of(charges);
  const auto weights = span_of(drift_weights);
  const py::gil_scoped_release released;
  self.add_collective(x, n_atoms, steps, q, weights, check_signals);
}

py::array sums_of(const MsdAccumulator &self)
{
  return copy(self.sums(), {size_of(self.n_lags()), 6});
}

template <class T> py::array vector_to_array(std::span<const T> values)
{
  return copy(values, {size_of(values.size())});
}

py::tuple state_of(const MsdAccumulator &self)
{
  return py::make_tuple(vector_to_array(self.lag_steps()), sums_of(self), vector_to_array(self.counts()),
                        vector_to_array(self.quartic_sums()), vector_to_array(self.quartic_counts()),
                        static_cast<std::int64_t>(self.population()));
}

MsdAccumulator from_state(const py::tuple &state)
{
  if (state.size() != 6) throw lpsmd::Error("a stored MsdAccumulator has six parts; this is of another version");
  const auto population = state[5].cast<std::int64_t>();
  if (population < 0 || population > static_cast<std::int64_t>(Population::collective))
    throw lpsmd::Error("a stored MsdAccumulator is of population " + std::to_string(population) +
                       ", 0 to 2 are known: it is damaged or of another version");
  return {vector_of(state[0].cast<Array<std::int64_t>>()), vector_of(state[1].cast<Array<double>>()),
          vector_of(state[2].cast<Array<std::int64_t>>()), vector_of(state[3].cast<Array<double>>()),
          vector_of(state[4].cast<Array<std::int64_t>>()), static_cast<Population>(population)};
}

StreamingMsd streaming(std::int64_t n_atoms, std::int64_t frame_interval, std::int64_t longest_lag, std::int64_t points,
                       const py::object &selection, const Array<double> &charges, const Array<double> &drift_weights)
{
  if (n_atoms < 0 || points < 0)
    throw lpsmd::Error("found " + std::to_string(n_atoms) + " atoms and " + std::to_string(points) +
                       " points, numbers above 0 are needed");
  return StreamingMsd({.n_atoms = static_cast<std::size_t>(n_atoms),
                       .frame_interval = frame_interval,
                       .longest_lag = longest_lag,
                       .points = static_cast<std::size_t>(points),
                       .selection = vector_of(atoms_chosen(selection)),
                       .charges = vector_of(charges),
                       .drift_weights = vector_of(drift_weights)});
}

void push(StreamingMsd &self, const Array<double> &positions, const py::object &timesteps)
{
  const std::size_t n_atoms = atoms_of(positions);
  if (n_atoms != self.options().n_atoms)
    throw lpsmd::Error("found frames of " + std::to_string(n_atoms) + " atoms, " +
                       std::to_string(self.options().n_atoms) + " are needed as in the frames before");
  const auto x = span_of(positions);
  const Array<std::int64_t> step_array = steps_of(timesteps);
  const auto steps = span_of(step_array);
  const py::gil_scoped_release released;
  self.push(x, steps);
}

py::tuple streaming_state_of(const StreamingMsd &self)
{
  const auto &o = self.options();
  const auto &s = self.state();
  const auto doubles = [](const std::vector<double> &values) { return vector_to_array<double>(values); };
  const auto integers = [](const std::vector<std::int64_t> &values) { return vector_to_array<std::int64_t>(values); };
  return py::make_tuple(o.n_atoms, o.frame_interval, o.longest_lag, o.points, integers(o.selection), doubles(o.charges),
                        doubles(o.drift_weights), s.n_frames, s.last_timestep, doubles(s.first_frame), doubles(s.rings),
                        doubles(s.sums), doubles(s.rests), integers(s.windows), doubles(s.quartics));
}

StreamingMsd streaming_from_state(const py::tuple &state)
{
  if (state.size() != 15) throw lpsmd::Error("a stored StreamingMsd has fifteen parts; this is of another version");
  const auto doubles = [&](std::size_t i) { return vector_of(state[i].cast<Array<double>>()); };
  const auto integers = [&](std::size_t i) { return vector_of(state[i].cast<Array<std::int64_t>>()); };
  return {{.n_atoms = state[0].cast<std::size_t>(),
           .frame_interval = state[1].cast<std::int64_t>(),
           .longest_lag = state[2].cast<std::int64_t>(),
           .points = state[3].cast<std::size_t>(),
           .selection = integers(4),
           .charges = doubles(5),
           .drift_weights = doubles(6)},
          {.n_frames = state[7].cast<std::int64_t>(),
           .last_timestep = state[8].cast<std::int64_t>(),
           .first_frame = doubles(9),
           .rings = doubles(10),
           .sums = doubles(11),
           .rests = doubles(12),
           .windows = integers(13),
           .quartics = doubles(14)}};
}

/// Copies are the values they look like.
template <class T, class Class> void define_copies(Class &c)
{
  c.def("__copy__", [](const T &self) { return T(self); });
  c.def("__deepcopy__", [](const T &self, const py::dict &) { return T(self); });
}

}  // namespace

void bind_msd(py::module_ &m)
{
  const auto none = Array<double>(0);
  py::class_<MsdAccumulator> accumulator(
      m, "MsdAccumulator",
      "Mergeable sums of products of displacements over all time origins and atoms.\n\n"
      "Calls let go of the interpreter lock: fill one accumulator from one thread at a time, and merge.");
  accumulator
      .def(py::init([](const py::object &lag_steps) { return MsdAccumulator(vector_of(lags_of(lag_steps))); }),
           py::arg("lag_steps"))
      .def("add", &add, py::arg("positions"), py::arg("timesteps"), py::kw_only(), py::arg("selection"),
           py::arg("drift_weights") = none, py::arg("threads") = 1, py::arg("quartic") = true)
      .def("add_collective", &add_collective, py::arg("positions"), py::arg("timesteps"), py::kw_only(),
           py::arg("charges"), py::arg("drift_weights") = none)
      .def(py::self += py::self)
      .def(py::self == py::self)
      .def_property_readonly("population",
                             [](const MsdAccumulator &self) {
                               constexpr const char *names[] = {"none", "atoms", "collective"};
                               return names[static_cast<std::size_t>(self.population())];
                             })
      .def_property_readonly("n_lags", &MsdAccumulator::n_lags)
      .def_property_readonly("lag_steps", [](const MsdAccumulator &self) { return vector_to_array(self.lag_steps()); })
      .def_property_readonly("sums", &sums_of)
      .def_property_readonly("counts", [](const MsdAccumulator &self) { return vector_to_array(self.counts()); })
      .def_property_readonly("quartic_sums",
                             [](const MsdAccumulator &self) { return vector_to_array(self.quartic_sums()); })
      .def_property_readonly("quartic_counts",
                             [](const MsdAccumulator &self) { return vector_to_array(self.quartic_counts()); })
      .def(py::pickle(&state_of, &from_state));
  define_copies<MsdAccumulator>(accumulator);

  py::class_<StreamingMsd> stream(m, "StreamingMsd",
                                  "Sums of products of displacements from blocks of frames.\n\n"
                                  "Calls let go of the interpreter lock: push from one thread at a time.");
  stream
      .def(py::init(&streaming), py::kw_only(), py::arg("n_atoms"), py::arg("frame_interval"), py::arg("longest_lag"),
           py::arg("points") = 32, py::arg("selection") = py::tuple(), py::arg("charges") = none,
           py::arg("drift_weights") = none)
      .def("push", &push, py::arg("positions"), py::arg("timesteps"))
      .def("result", &StreamingMsd::result)
      .def(py::self == py::self)
      .def_property_readonly("lag_steps", [](const StreamingMsd &self) { return vector_to_array(self.lag_steps()); })
      .def_property_readonly("n_frames", &StreamingMsd::n_frames)
      .def_property_readonly("memory_bytes", &StreamingMsd::memory_bytes)
      .def(py::pickle(&streaming_state_of, &streaming_from_state));
  define_copies<StreamingMsd>(stream);

  m.def(
      "lag_steps_of",
      [](const py::object &timesteps, std::int64_t longest) {
        const Array<std::int64_t> steps = steps_of(timesteps);
        const std::vector<std::int64_t> lags = lpsmd::lag_steps_of(span_of(steps), longest);
        return vector_to_array<std::int64_t>(lags);
      },
      py::arg("timesteps"), py::arg("longest"),
      "All differences of ascending timesteps up to `longest`, ascending from 0.");
}
