#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/neighbor_graph.h"

namespace lpsmd {

/// How far an atom's energy reaches.
struct Reach {
  int layers = 1;     ///< message-passing layers: hops over which an atom's energy depends on others
  bool local = true;  ///< an atom's energy depends on its own edges and the types at their ends, and on nothing else
};

/// The part of a model's graph that one rank evaluates.
///
/// A rank sees the atoms it owns, and behind them ghosts: periodic images and atoms of other ranks. Its nodes are
/// the owned atoms, then what messages need on their way to them, hop by hop: a ghost that lies h hops away has
/// edges of its own if h < layers, and none otherwise. Images of one atom are one node, so no rank evaluates more
/// atoms than the simulation has, and on a single rank all ghosts fold onto their owners. A local model needs to
/// know of other atoms no more than their types: there is one node for each type instead.
///
/// Only the energies of owned atoms count (weights 1, then 0).
class DomainGraph {
 public:
  /// `candidates[i]`: neighbours of atom i, those within cutoff and skin, bits outside `index_mask` dropped; empty
  /// for atoms of which the neighbour list says nothing. `owned`: atoms.types[0, owned) belong to this rank.
  ///
  /// @throws Error from NeighborGraph::append_centre.
  void build(const AtomView &atoms, std::size_t owned, const GraphRules &rules, const Reach &reach,
             std::span<const std::span<const int>> candidates, int index_mask);

  /// Edges between atoms (not nodes): gradients act on their ends.
  const NeighborGraph &edges() const { return edges_; }
  /// The atom that each node of an owned atom stands for; its energy is that atom's.
  std::span<const int> owned_atoms() const { return {node_atoms_.data(), owned_nodes_}; }
  /// Edges of owned atoms: all there would be if messages could be had from other ranks.
  std::size_t owned_edge_count() const { return owned_edges_; }
  /// Spans into this graph: valid until the next build.
  ProgramInput input() const;

 private:
  void reach_out(const AtomView &atoms, const GraphRules &rules, const Reach &reach,
                 std::span<const std::span<const int>> candidates, int index_mask);
  void take_in_neighbors(const AtomView &atoms, std::size_t first_edge);
  void number_nodes(const AtomView &atoms, std::size_t owned, const GraphRules &rules, const Reach &reach);

  NeighborGraph edges_;
  std::vector<int> node_of_;     // [atoms] node of an owner, or -1
  std::vector<int> node_atoms_;  // [nodes] the atom, or the image of it, whose neighbours are the node's
  std::size_t owned_nodes_ = 0, owned_edges_ = 0;
  bool renumbered_ = false;                        // else nodes are atoms
  std::vector<std::int64_t> centres_, neighbors_;  // [edges] nodes, where renumbered
  std::vector<std::int64_t> types_;                // [nodes]
  std::vector<double> weights_;                    // [nodes]
};

}  // namespace lpsmd
