#pragma once

#include <string>
#include <vector>

#include "core/domain_graph.h"
#include "core/neighbor_graph.h"

namespace lpsmd {

/// Schema of the passport that this build reads; python/lpsmd/models/contract.py writes the same.
inline constexpr int kPassportSchema = 1;

/// A small structure with the numbers that the trainer's own calculator gives for it in float64.
struct ReferenceFrame {
  Matrix3 cell_A;
  std::array<bool, 3> periodic;
  std::vector<double> positions_A;  ///< [N, 3]
  std::vector<int> types;           ///< [N]
  double energy_eV;
  std::vector<double> forces_eV_per_A;  ///< [N, 3]
  Matrix3 virial_eV;                    ///< dE/d(strain)
};

/// What a model file says of itself.
struct Passport {
  std::string architecture;
  std::string functional;
  std::string dtype;  ///< float32 or float64: what the program computes in
  std::vector<std::string> type_names;
  double cutoff_A;
  std::vector<double> pair_cutoff_A;  ///< [T, T]
  int layers;
  bool local;                      ///< an atom's energy depends on its own neighbours only
  std::vector<int> max_neighbors;  ///< [T] or empty
  ReferenceFrame reference;

  /// Edges as this model wants them.
  GraphRules graph_rules() const { return {type_names, pair_cutoff_A, max_neighbors}; }
  Reach reach() const { return {local ? 1 : layers, local}; }
};

/// @throws Error naming `file` and what is missing or of another schema.
Passport parse_passport(const std::string &json_text, const std::string &file);

}  // namespace lpsmd
