#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lpsmd {

using Matrix3 = std::array<std::array<double, 3>, 3>;

/// What decides whether a pair is an edge, and how many edges an atom may have.
class GraphRules {
 public:
  /// One cutoff (Angstrom) for every pair of `type_names`.
  GraphRules(std::vector<std::string> type_names, double cutoff_A);
  /// `pair_cutoff_A`: row-major [T, T], symmetric. `max_neighbors`: [T] or empty for no limit
  /// (for DP it is `sel`: more neighbours of a type than the network has room for is an error).
  GraphRules(std::vector<std::string> type_names, std::vector<double> pair_cutoff_A, std::vector<int> max_neighbors);

  std::size_t type_count() const { return type_names_.size(); }
  /// Type of atoms that the model does not see: they have no edges.
  std::size_t unseen_type() const { return type_names_.size(); }
  const std::string &type_name(std::size_t type) const { return type_names_[type]; }
  double max_cutoff_A() const { return max_cutoff_A_; }
  double cutoff_A(std::size_t type_i, std::size_t type_j) const;
  /// Squared cutoffs of one centre type towards each neighbour type, [T + 1] in Angstrom^2; 0 towards unseen atoms.
  const double *cutoff_squared_row(std::size_t type) const;
  std::span<const int> max_neighbors() const { return max_neighbors_; }

 private:
  std::vector<std::string> type_names_;
  std::vector<double> cutoff_squared_;  // [T, T + 1]
  std::vector<int> max_neighbors_;      // [T] or empty
  double max_cutoff_A_ = 0.0;
};

/// Atoms as a neighbour list refers to them: `owner.size()` atoms of which some are periodic images.
struct AtomView {
  const double *positions;                 ///< [n, 3] Angstrom
  std::span<const int> types;              ///< [n] index into the model's types, or GraphRules::unseen_type
  std::span<const int> owner;              ///< [n] the real atom that an image stands for (itself if real)
  std::span<const std::int64_t> ids = {};  ///< [n] what messages call an atom; empty: its index
};

/// What a program of the model contract takes; see python/lpsmd/models/contract.py.
struct ProgramInput {
  std::span<const std::int64_t> centres, neighbors;  ///< [E] nodes; centres ascend
  std::span<const double> vectors;                   ///< [E, 3] r_j - r_i, Angstrom
  std::span<const std::int64_t> types;               ///< [N]
  std::span<const double> weights;                   ///< [N] 1 where an energy counts, 0 where it only carries messages
};

/// Directed edges i -> j of all centres, in ascending order of the centre.
///
/// Every architecture's program relies on that order. Buffers are kept between rebuilds: in a running
/// simulation nothing is allocated after the first steps.
class NeighborGraph {
 public:
  /// Forget all edges and make room for `capacity` of them.
  void reset(std::size_t capacity);

  /// Append the edges of `centre` to those of `candidates` (bits outside `index_mask` are dropped)
  /// that lie within the cutoff. Edge ends are the owners of the atoms.
  ///
  /// @throws Error if a type has more neighbours than the rules allow.
  void append_centre(const AtomView &atoms, const GraphRules &rules, int centre, std::span<const int> candidates,
                     int index_mask);

  std::size_t size() const { return size_; }
  std::span<const std::int64_t> centres() const { return {centres_.data(), size_}; }
  std::span<const std::int64_t> neighbors() const { return {neighbors_.data(), size_}; }
  /// [E] the very atom or image at the end of each edge, of which `neighbors` is the owner.
  std::span<const int> images() const { return {images_.data(), size_}; }
  /// [E, 3] flattened, r_j - r_i in Angstrom.
  std::span<const double> vectors() const { return {vectors_.data(), 3 * size_}; }

 private:
  void make_room(std::size_t more);
  void check_counts(const AtomView &atoms, const GraphRules &rules, int centre, std::size_t first);

  std::vector<std::int64_t> centres_, neighbors_;
  std::vector<int> images_;
  std::vector<double> vectors_;
  std::vector<int> type_counts_;  // scratch of check_counts
  std::size_t size_ = 0;
};

/// Graph of atoms in a periodic cell of any shape and size, several images of one atom included.
///
/// positions: [N, 3] Angstrom, wrapped or not; types: [N]; cell: rows are the lattice vectors in Angstrom
/// (unused rows of non-periodic directions may be zero).
///
/// @throws Error for a singular cell, a type out of range, or too many neighbours (see GraphRules).
NeighborGraph periodic_graph(std::span<const double> positions, std::span<const int> types, const Matrix3 &cell,
                             const std::array<bool, 3> &periodic, const GraphRules &rules);

}  // namespace lpsmd
