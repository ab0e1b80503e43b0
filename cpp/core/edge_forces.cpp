#include "core/edge_forces.h"

namespace lpsmd {

Matrix3 add_forces(const NeighborGraph &graph, std::span<const double> gradients, std::span<double> forces)
{
  Matrix3 virial{};
  const auto centres = graph.centres();
  const auto neighbors = graph.neighbors();
  const auto vectors = graph.vectors();
  for (std::size_t e = 0; e < graph.size(); ++e) {
    const double *const r = &vectors[3 * e];
    const double *const g = &gradients[3 * e];
    double *const fi = &forces[3 * static_cast<std::size_t>(centres[e])];
    double *const fj = &forces[3 * static_cast<std::size_t>(neighbors[e])];
    for (std::size_t a = 0; a < 3; ++a) {
      fi[a] += g[a];
      fj[a] -= g[a];
      for (std::size_t b = 0; b < 3; ++b) virial[a][b] += r[a] * g[b];
    }
  }
  return virial;
}

}  // namespace lpsmd
