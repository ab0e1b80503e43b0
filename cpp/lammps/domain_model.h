#pragma once

#include "lmptype.h"
#include "pointers.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/domain_graph.h"
#include "core/edge_forces.h"
#include "lammps/model_options.h"
#include "model/session.h"

namespace LAMMPS_NS {
class NeighList;
}

namespace lpsmd {

/// How a restart knows a model again.
struct ModelRecord {
  std::string path;                   ///< absolute
  std::string sha256;                 ///< of the file; empty: whatever it is
  std::vector<std::string> elements;  ///< of atom types 1, 2, ...; NULL where the model does not see a type
};

/// The record of a model that an input names (see resolve_model).
ModelRecord named_model(const std::string &name, std::vector<std::string> elements);

/// Stops the run on all ranks if any of them has a problem (not empty), with the text of the lowest such rank.
/// Collective over the simulation's own communicator.
void stop_together(LAMMPS_NS::LAMMPS *lmp, const std::string &problem);

/// A model on the atoms that this rank sees: what the pair style and the committee share.
///
/// Every member function that can fail is called by all ranks and stops all of them.
class DomainModel : protected LAMMPS_NS::Pointers {
 public:
  /// `command`: what messages call the user of this model, as in "pair_style lpsmd".
  DomainModel(LAMMPS_NS::LAMMPS *lmp, std::string command);

  /// Loads a model, which must have the hash record.sha256 unless that is empty, and maps the atom types to elements.
  void load(const ModelRecord &record, const ModelOptions &options);
  void forget() { session_.reset(); }
  bool loaded() const { return session_.has_value(); }
  const ModelRecord &record() const { return record_; }
  const Passport &passport() const { return session_->passport(); }
  bool sees(int type) const { return static_cast<std::size_t>(model_type_[type]) != rules_->unseen_type(); }
  /// Cutoff between two atom types in Angstrom; 0 if the model does not see one of them.
  double cutoff_A(int type_i, int type_j) const;
  bool on_gpu() const { return session_->on_gpu(); }
  double max_cutoff_A() const { return rules_->max_cutoff_A(); }
  void log_model() const;

  /// At every init: what the simulation must be for this model to be right.
  void check_simulation() const;
  /// Several ranks and message passing: ghosts need neighbours of their own, over all layers.
  bool needs_ghost_layers() const;
  /// How far ghosts must reach, skin included.
  double ghost_cutoff_A() const;

  /// Energies and gradients of the owned atoms, from `list` (full; of ghosts too where needs_ghost_layers). Adds the
  /// forces to `forces` [owned and ghost atoms, 3] and returns dE/d(strain) in eV.
  Matrix3 evaluate(const LAMMPS_NS::NeighList *list, std::span<double> forces);
  const DomainGraph &graph() const { return graph_; }
  double energy_eV() const { return energy_eV_; }
  /// Of each atom of graph().owned_atoms(), eV.
  std::span<const double> atom_energies() const;
  /// Of each edge of graph().edges(), eV/Angstrom.
  std::span<const double> edge_gradients() const { return session_->edge_gradients(); }
  double memory_bytes() const;

 private:
  void map_elements(const std::vector<std::string> &elements);
  void check_masses() const;
  void check_communication() const;
  void check_pairs(const LAMMPS_NS::NeighList *list) const;
  void check_finite(const Matrix3 &strain_derivative) const;
  bool is_stale(const LAMMPS_NS::NeighList *list) const;
  void take_list(const LAMMPS_NS::NeighList *list);
  void find_owners();
  void find_types();

  std::string command_;
  ModelOptions options_;
  std::optional<ModelSession> session_;
  std::optional<GraphRules> rules_;
  ModelRecord record_;
  std::vector<int> model_type_;  // model type of each LAMMPS type; index 0 unused

  // Kept between steps, taken anew at each reneighbouring.
  LAMMPS_NS::bigint list_step_ = -1;
  std::vector<std::span<const int>> candidates_;  // [atoms] neighbours, empty where the list has none
  std::vector<int> owner_;                        // [atoms] first atom with the same ID, an owned one if there is
  std::vector<std::int64_t> ids_;                 // [atoms]

  std::vector<int> types_;  // [atoms] model type, of every step
  DomainGraph graph_;
  double energy_eV_ = 0.0;
};

}  // namespace lpsmd
