#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "core/error.h"
#include "core/neighbor_graph.h"
#include "python/bindings.h"

namespace py = pybind11;

namespace {

using Doubles = py::array_t<double, py::array::c_style | py::array::forcecast>;
using Ints = py::array_t<int, py::array::c_style | py::array::forcecast>;

lpsmd::GraphRules rules_of(double cutoff, const std::optional<std::vector<std::string>> &type_names,
                           const std::optional<Doubles> &pair_cutoff, const std::vector<int> &max_neighbors)
{
  const auto names = type_names.value_or(std::vector<std::string>{"X"});
  if (!pair_cutoff) return {names, std::vector<double>(names.size() * names.size(), cutoff), max_neighbors};
  return {names, {pair_cutoff->data(), pair_cutoff->data() + pair_cutoff->size()}, max_neighbors};
}

py::tuple neighbor_graph(const Doubles &positions, const lpsmd::Matrix3 &cell, const std::array<bool, 3> &periodic,
                         double cutoff, const std::optional<Ints> &types,
                         const std::optional<std::vector<std::string>> &type_names,
                         const std::optional<Doubles> &pair_cutoff, const std::vector<int> &max_neighbors)
{
  if (positions.ndim() != 2 || positions.shape(1) != 3) throw lpsmd::Error("positions must have the shape [N, 3]");
  const auto n = static_cast<std::size_t>(positions.shape(0));
  std::vector<int> atom_types(n, 0);
  if (types) atom_types.assign(types->data(), types->data() + types->size());
  const lpsmd::GraphRules rules = rules_of(cutoff, type_names, pair_cutoff, max_neighbors);
  const lpsmd::NeighborGraph graph = [&] {
    const py::gil_scoped_release unlocked;
    return lpsmd::periodic_graph({positions.data(), 3 * n}, atom_types, cell, periodic, rules);
  }();

  const auto edges = static_cast<py::ssize_t>(graph.size());
  py::array_t<std::int64_t> index({py::ssize_t{2}, edges});
  std::ranges::copy(graph.centres(), index.mutable_data());
  std::ranges::copy(graph.neighbors(), index.mutable_data() + edges);
  py::array_t<double> vectors({edges, py::ssize_t{3}});
  std::ranges::copy(graph.vectors(), vectors.mutable_data());
  return py::make_tuple(index, vectors);
}

}  // namespace

void bind_graph(py::module_ &module)
{
  module.def("neighbor_graph", &neighbor_graph, py::arg("positions"), py::arg("cell"), py::arg("pbc"),
             py::arg("cutoff"), py::kw_only(), py::arg("types") = py::none(), py::arg("type_names") = py::none(),
             py::arg("pair_cutoff") = py::none(), py::arg("max_neighbors") = std::vector<int>{},
             R"(Directed edges of atoms in a cell of any shape and size, by ascending centre.

Parameters
----------
positions : array [N, 3], Angstrom
cell : array [3, 3], Angstrom
    Rows are the lattice vectors; those of non-periodic directions are not used.
pbc : three bool
cutoff : float, Angstrom
    One for all pairs, unless `pair_cutoff` is given.
types : array [N] of int, optional
    Index of each atom into `type_names`.
pair_cutoff : array [T, T], Angstrom, optional
max_neighbors : list of T int, optional
    Most neighbours of each type that an atom may have.

Returns
-------
edge_index : array [2, E] of int64
    Row 0 the centre i, row 1 the neighbour j.
edge_vectors : array [E, 3], Angstrom
    r_j - r_i, periodic images included.

Raises
------
LpsmdError
    For a singular cell, a position that is not finite, an unknown type, or too many neighbours.)");
}
