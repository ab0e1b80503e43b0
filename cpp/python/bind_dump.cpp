#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/dump_reader.h"
#include "core/error.h"
#include "core/unwrap.h"
#include "python/arrays.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace {

/// Bytes of a Python object with `readinto` and `close`; the GIL is held for its calls alone.
class PythonSource {
 public:
  PythonSource(std::string name, py::object stream) : name_(std::move(name)), stream_(std::move(stream)) {}
  PythonSource(const PythonSource &) = delete;
  PythonSource &operator=(const PythonSource &) = delete;

  ~PythonSource()
  {
    const py::gil_scoped_acquire held;
    try {
      stream_.attr("close")();
    } catch (py::error_already_set &failure) {
      failure.discard_as_unraisable(name_.c_str());
    }
    stream_ = py::object();
    buffer_ = py::object();
  }

  std::size_t read(std::span<char> target) const
  {
    const py::gil_scoped_acquire held;
    // memory of Python's own: a stream may keep what it is given
    const std::size_t wanted = std::min(target.size(), most_bytes);
    if (!buffer_) buffer_ = py::bytearray(std::string(most_bytes, '\0'));
    const py::memoryview whole(buffer_);
    const py::object part = whole[py::slice(0, size_of(wanted), 1)];
    const Released released{part};
    const py::object got = stream_.attr("readinto")(part);
    const auto count = got.is_none() ? py::ssize_t{-1} : got.cast<py::ssize_t>();
    if (count < 0 || static_cast<std::size_t>(count) > wanted)
      throw lpsmd::Error(name_ + ": readinto() returned " + py::str(got).cast<std::string>() +
                         ", a number of bytes is needed: give a blocking binary stream");
    std::copy_n(PyByteArray_AS_STRING(buffer_.ptr()), count, target.begin());
    return static_cast<std::size_t>(count);
  }

 private:
  static constexpr std::size_t most_bytes = std::size_t{1} << 18;

  /// A view that no one can use behind the call it was made for.
  struct Released {
    py::object view;

    ~Released()
    {
      try {
        view.attr("release")();
      } catch (py::error_already_set &exported) {
        exported.discard_as_unraisable("a stream that keeps its buffer");
      }
    }
  };

  std::string name_;
  py::object stream_;
  mutable py::object buffer_;
};

/// (name, opener): a path if the opener is None, else what calling it gives.
lpsmd::DumpInput input_of(const std::pair<std::string, py::object> &given)
{
  const std::string &name = given.first;
  if (given.second.is_none()) return lpsmd::file_input(name);
  // the last copy may go without the GIL
  const std::shared_ptr<py::object> opener(new py::object(given.second), [](py::object *dead) {
    const py::gil_scoped_acquire held;
    delete dead;
  });
  return {name, [name, opener] {
            const py::gil_scoped_acquire held;
            const auto source = std::make_shared<PythonSource>(name, (*opener)());
            return lpsmd::callback_source([source](std::span<char> target) { return source->read(target); });
          }};
}

std::unique_ptr<lpsmd::DumpReader> make_reader(const std::vector<std::pair<std::string, py::object>> &inputs,
                                               std::vector<std::string> species, std::vector<std::int64_t> types,
                                               std::vector<std::int64_t> ids,
                                               std::vector<std::string> elements_of_types, bool unwrap,
                                               bool drop_truncated, std::size_t threads, std::size_t portion_bytes)
{
  std::vector<lpsmd::DumpInput> opened;
  std::transform(inputs.begin(), inputs.end(), std::back_inserter(opened), input_of);
  lpsmd::DumpOptions options;
  options.keep = {std::move(species), std::move(types), std::move(ids)};
  options.elements_of_types = std::move(elements_of_types);
  options.unwrap = unwrap;
  options.drop_truncated = drop_truncated;
  options.threads = threads;
  options.portion_bytes = portion_bytes;
  return std::make_unique<lpsmd::DumpReader>(std::move(opened), std::move(options));
}

void unwrap(const std::string &name, Array<double> &positions, const Array<double> &cells,
            const std::array<bool, 3> &periodic, bool nearest)
{
  if (positions.ndim() != 3 || positions.shape(2) != 3 || cells.ndim() != 3 || cells.shape(0) != positions.shape(0) ||
      cells.shape(1) != 3 || cells.shape(2) != 3)
    throw lpsmd::Error(name + ": positions [frames, atoms, 3] and cells [frames, 3, 3] are needed");
  const std::span<double> x(positions.mutable_data(), static_cast<std::size_t>(positions.size()));
  const std::span<const double> c(cells.data(), static_cast<std::size_t>(cells.size()));
  const auto n_frames = static_cast<std::size_t>(positions.shape(0));
  const py::gil_scoped_release released;
  lpsmd::unwrap(name, x, c, periodic, n_frames, nearest ? lpsmd::Images::nearest : lpsmd::Images::rewrapped);
}

Array<double> unwrapped(const std::string &name, const Array<double> &positions, const Array<double> &cells,
                        const std::array<bool, 3> &periodic, bool nearest)
{
  Array<double> copied(std::vector<py::ssize_t>(positions.shape(), positions.shape() + positions.ndim()),
                       positions.data());
  unwrap(name, copied, cells, periodic, nearest);
  return copied;
}

}  // namespace

void bind_dump(py::module_ &m)
{
  using lpsmd::DumpReader;
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
      .def_readonly("repeated_frames", &DumpTrajectory::repeated_frames)
      .def_readonly("truncated", &DumpTrajectory::truncated);

  py::class_<DumpReader>(m, "DumpReader",
                         "Reads the successive LAMMPS custom dumps of one trajectory (lpsmd.analysis.read_dump).")
      .def(py::init(&make_reader), py::arg("inputs"), py::kw_only(), py::arg("species") = std::vector<std::string>(),
           py::arg("types") = std::vector<std::int64_t>(), py::arg("ids") = std::vector<std::int64_t>(),
           py::arg("elements_of_types") = std::vector<std::string>(), py::arg("unwrap") = false,
           py::arg("drop_truncated") = false, py::arg("threads") = 1,
           py::arg("portion_bytes") = lpsmd::DumpOptions().portion_bytes)
      .def("read", &DumpReader::read, py::arg("most_frames") = DumpReader::all_frames,
           py::call_guard<py::gil_scoped_release>());

  m.def("unwrap", &unwrapped, py::arg("name"), py::arg("positions"), py::arg("cells"), py::arg("periodic"),
        py::kw_only(), py::arg("nearest"),
        "Unwrapped copy of positions [F, N, 3]: by nearest images, or, if these are unwrapped already, for a changing "
        "cell alone.");
}
