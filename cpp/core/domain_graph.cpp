#include "core/domain_graph.h"

#include <algorithm>

namespace lpsmd {

namespace {

constexpr int kNoNode = -1;

}  // namespace

void DomainGraph::build(const AtomView &atoms, std::size_t owned, const GraphRules &rules, const Reach &reach,
                        std::span<const std::span<const int>> candidates, int index_mask)
{
  std::size_t room = 0;
  node_atoms_.clear();
  node_of_.assign(atoms.types.size(), kNoNode);
  for (std::size_t i = 0; i < owned; ++i) {
    if (static_cast<std::size_t>(atoms.types[i]) == rules.unseen_type()) continue;
    node_of_[i] = static_cast<int>(node_atoms_.size());
    node_atoms_.push_back(static_cast<int>(i));
    room += candidates[i].size();
  }
  owned_nodes_ = node_atoms_.size();
  edges_.reset(room);
  reach_out(atoms, rules, reach, candidates, index_mask);
  number_nodes(atoms, owned, rules, reach);
}

/// Edges layer by layer: first those of owned atoms, then those of the ghosts that they reached, and so on.
void DomainGraph::reach_out(const AtomView &atoms, const GraphRules &rules, const Reach &reach,
                            std::span<const std::span<const int>> candidates, int index_mask)
{
  std::size_t begin = 0;
  for (int layer = 0; layer < reach.layers; ++layer) {
    const std::size_t end = node_atoms_.size();
    for (std::size_t node = begin; node < end; ++node) {
      const auto atom = static_cast<std::size_t>(node_atoms_[node]);
      const std::size_t first_edge = edges_.size();
      edges_.append_centre(atoms, rules, static_cast<int>(atom), candidates[atom], index_mask);
      if (!reach.local) take_in_neighbors(atoms, first_edge);
    }
    if (layer == 0) owned_edges_ = edges_.size();
    begin = end;
  }
}

/// Atoms that an edge reaches for the first time become nodes. The image at its end is one whose own neighbours are
/// all at hand: it lies no more hops from the owned atoms than any other image.
void DomainGraph::take_in_neighbors(const AtomView &atoms, std::size_t first_edge)
{
  const auto images = edges_.images();
  for (std::size_t e = first_edge; e < edges_.size(); ++e) {
    int &node = node_of_[static_cast<std::size_t>(atoms.owner[static_cast<std::size_t>(images[e])])];
    if (node != kNoNode) continue;
    node = static_cast<int>(node_atoms_.size());
    node_atoms_.push_back(images[e]);
  }
}

void DomainGraph::number_nodes(const AtomView &atoms, std::size_t owned, const GraphRules &rules, const Reach &reach)
{
  types_.clear();
  for (const int atom : node_atoms_) types_.push_back(atoms.types[static_cast<std::size_t>(atom)]);

  const auto centres = edges_.centres();
  const auto neighbors = edges_.neighbors();
  const auto is_owned = [&](std::int64_t atom) { return static_cast<std::size_t>(atom) < owned; };
  const bool folded = std::ranges::all_of(neighbors, is_owned);
  renumbered_ = !folded || owned_nodes_ != owned;
  if (!folded && reach.local)  // atoms of other ranks: one node for each type
    for (std::size_t type = 0; type < rules.type_count(); ++type) types_.push_back(static_cast<std::int64_t>(type));
  weights_.assign(types_.size(), 0.0);
  std::fill_n(weights_.begin(), owned_nodes_, 1.0);
  if (!renumbered_) return;

  centres_.resize(edges_.size());
  neighbors_.resize(edges_.size());
  for (std::size_t e = 0; e < edges_.size(); ++e) {
    const auto j = static_cast<std::size_t>(neighbors[e]);
    centres_[e] = node_of_[static_cast<std::size_t>(centres[e])];
    neighbors_[e] = node_of_[j] != kNoNode ? node_of_[j] : static_cast<int>(owned_nodes_) + atoms.types[j];
  }
}

ProgramInput DomainGraph::input() const
{
  if (!renumbered_) return {edges_.centres(), edges_.neighbors(), edges_.vectors(), types_, weights_};
  return {centres_, neighbors_, edges_.vectors(), types_, weights_};
}

}  // namespace lpsmd
