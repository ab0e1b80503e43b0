#pragma once

#include <span>

#include "core/neighbor_graph.h"

namespace lpsmd {

/// Forces from the gradients g_e of the energy with respect to the edge vectors r_e = r_j - r_i:
/// f_i += g_e, f_j -= g_e.
///
/// gradients: [E, 3] eV/Angstrom; forces: [N, 3] eV/Angstrom, added to.
/// Returns dE/d(strain) = sum_e r_e (x) g_e in eV (ASE's stress times volume; LAMMPS' virial is its negative).
Matrix3 add_forces(const NeighborGraph &graph, std::span<const double> gradients, std::span<double> forces);

}  // namespace lpsmd
