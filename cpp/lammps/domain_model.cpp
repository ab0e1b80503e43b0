#include "lammps/domain_model.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "core/elements.h"
#include "core/error.h"
#include "core/sha256.h"
#include "core/text.h"
#include "lammps/environment.h"

using namespace LAMMPS_NS;

namespace lpsmd {

namespace {

constexpr auto kUnseen = "NULL";
constexpr std::size_t kShortHash = 12;
constexpr double kRounding_A = 1e-9;  // LAMMPS squares cutoffs and takes roots again

}  // namespace

void stop_together(LAMMPS *lmp, const std::string &problem)
{
  const MPI_Comm world = lmp->world;
  int rank = 0, ranks = 1;
  MPI_Comm_rank(world, &rank);
  MPI_Comm_size(world, &ranks);
  int first = problem.empty() ? ranks : rank;
  if (ranks > 1) MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, world);
  if (first == ranks) return;
  // All ranks must say the same, since LAMMPS prints what the first of them has to say.
  int length = static_cast<int>(problem.size());
  MPI_Bcast(&length, 1, MPI_INT, first, world);
  std::string text = rank == first ? problem : std::string(static_cast<std::size_t>(length), ' ');
  MPI_Bcast(text.data(), length, MPI_CHAR, first, world);
  lmp->error->all(FLERR, text);
}

ModelRecord named_model(const std::string &name, std::vector<std::string> elements)
{
  const auto path = std::filesystem::absolute(resolve_model(name)).lexically_normal();
  return {path.string(), "", std::move(elements)};
}

DomainModel::DomainModel(LAMMPS *host, std::string command) : Pointers(host), command_(std::move(command)) {}

void DomainModel::load(const ModelRecord &record, const ModelOptions &options)
{
  session_.reset();
  options_ = options;
  record_ = record;
  std::string problem;
  try {
    ModelSession::set_thread_count(comm->nthreads);
    session_ = ModelSession::load(record_.path, options_.device);
    rules_ = passport().graph_rules();
    record_.sha256 = sha256_of_file(record_.path);
    if (!record.sha256.empty() && record_.sha256 != record.sha256)
      throw Error("model file " + record_.path + " is not the one of the restart: its SHA-256 begins with " +
                  record_.sha256.substr(0, kShortHash) + ", needed " + record.sha256.substr(0, kShortHash) +
                  ". Put the old file back, or choose another model with pair_coeff before the run");
    map_elements(record_.elements);
  } catch (const std::exception &failure) {
    problem = failure.what();
    session_.reset();
  }
  stop_together(lmp, problem);
  list_step_ = -1;
}

void DomainModel::map_elements(const std::vector<std::string> &elements)
{
  const auto &names = passport().type_names;
  model_type_.assign(1, static_cast<int>(rules_->unseen_type()));
  for (std::size_t k = 0; k < elements.size(); ++k) {
    const std::string &element = elements[k];
    const auto found = std::find(names.begin(), names.end(), element);
    if (found == names.end() && element != kUnseen)
      throw Error(command_ + ": atom type " + std::to_string(k + 1) + " is '" + element + "', which model " +
                  record_.path + " does not know; did you mean '" + nearest_word(element, names) +
                  "'? It knows: " + join(names));
    const auto before = std::find(elements.begin(), elements.begin() + static_cast<std::ptrdiff_t>(k), element);
    if (element != kUnseen && before - elements.begin() != static_cast<std::ptrdiff_t>(k) && !options_.shared_elements)
      throw Error(command_ + ": atom types " + std::to_string(before - elements.begin() + 1) + " and " +
                  std::to_string(k + 1) + " are both '" + element +
                  "'. If they are meant to be one element, say so with 'elements shared'; else name the element of "
                  "each atom type, in order. The model knows: " +
                  join(names));
    model_type_.push_back(static_cast<int>(element == kUnseen ? rules_->unseen_type() : found - names.begin()));
  }
}

double DomainModel::cutoff_A(int type_i, int type_j) const
{
  if (!sees(type_i) || !sees(type_j)) return 0.0;
  return rules_->cutoff_A(static_cast<std::size_t>(model_type_[type_i]), static_cast<std::size_t>(model_type_[type_j]));
}

void DomainModel::log_model() const
{
  if (comm->me != 0) return;
  utils::logmesg(lmp,
                 "{}: {} ({}, {}, {}), cutoff {:.4g} A, {} message-passing layer(s), on {}; "
                 "reference frame reproduced to {:.1e} eV/A; SHA-256 {}\n",
                 command_, record_.path, passport().architecture, passport().functional, passport().dtype,
                 passport().cutoff_A, passport().layers, session_->device_description(),
                 session_->self_test_error_eV_per_A(), record_.sha256.substr(0, kShortHash));
  if (session_->on_gpu() && options_.device.local_rank >= ModelSession::gpu_count())
    error->warning(FLERR, "process {} of this node shares a GPU with another: {} GPU(s) are visible",
                   options_.device.local_rank, ModelSession::gpu_count());
}

/* ---------------------------------------------------------------------- */

void DomainModel::check_simulation() const
{
  if (!atom->tag_enable) error->all(FLERR, "{} needs atom IDs: remove 'atom_modify id no'", command_);
  if (atom->molecular != Atom::ATOMIC)
    for (int k = 1; k <= 3; ++k)
      if (force->special_lj[k] != 1.0)
        error->all(FLERR,
                   "{}: special_bonds lj is {} {} {}, needs 1 1 1: a network knows no bonds, so neighbours that LAMMPS "
                   "leaves out for being bonded would be missing. Add 'special_bonds lj/coul 1 1 1'",
                   command_, force->special_lj[1], force->special_lj[2], force->special_lj[3]);
  if (neighbor->includegroup)
    error->all(
        FLERR,
        "{}: 'neigh_modify include' leaves the neighbours of all other atoms out, needs none: remove it, or name "
        "those atoms' types NULL under 'pair_style hybrid'",
        command_);
  if (options_.check_masses) check_masses();
  if (needs_ghost_layers() && comm->mode != Comm::SINGLE)
    error->all(
        FLERR,
        "{}: {} message-passing layers on {} ranks need one communication cutoff of {:.4g} A for all types, found "
        "'comm_modify mode multi': remove it",
        command_, passport().layers, comm->nprocs, ghost_cutoff_A());
  if (needs_ghost_layers() && neighbor->style != Neighbor::BIN && neighbor->style != Neighbor::NSQ)
    error->all(FLERR,
               "{}: {} message-passing layers on {} ranks need neighbours of ghosts, which 'neighbor multi' does not "
               "find: use 'neighbor {:.4g} bin'",
               command_, passport().layers, comm->nprocs, neighbor->skin);
  ModelSession::set_thread_count(comm->nthreads);
}

/// Masses tell when elements are named in another order than the types of the data file.
void DomainModel::check_masses() const
{
  // Rounded masses and 6Li pass; P and S, the closest of the elements at hand, are 1.09 apart.
  constexpr double allowed = 0.95;
  for (int type = 1; type <= atom->ntypes; ++type) {
    if (!atom->mass || !atom->mass_setflag[type] || !sees(type)) continue;
    const std::string &element = rules_->type_name(static_cast<std::size_t>(model_type_[type]));
    const auto expected = atomic_mass(element);
    if (!expected || std::abs(atom->mass[type] - *expected) <= allowed) continue;
    error->all(FLERR,
               "{} maps atom type {} to {} (mass {:.4g}), but its mass is {:.4g}, that of {}. Name the elements "
               "in the order of the atom types, or set 'masses ignore' for unusual masses",
               command_, type, element, *expected, atom->mass[type], element_of_mass(atom->mass[type]));
  }
}

bool DomainModel::needs_ghost_layers() const
{
  return comm->nprocs > 1 && !passport().local;
}

double DomainModel::ghost_cutoff_A() const
{
  const int layers = needs_ghost_layers() ? passport().reach().layers : 1;
  return layers * rules_->max_cutoff_A() + neighbor->skin;
}

/// Ghosts that do not reach far enough would be neighbours that are silently missing.
void DomainModel::check_communication() const
{
  const double found = std::max(comm->cutghostuser, neighbor->cutneighmax), needed = ghost_cutoff_A();
  if (found > needed - kRounding_A) return;
  error->all(
      FLERR,
      "{}: the communication cutoff is {:.4g} A, {} layer(s) of {:.4g} A on {} rank(s) and the skin need {:.4g} A. "
      "Remove 'comm_modify cutoff {:.4g}', or start the run without 'pre no' after it",
      command_, found, passport().layers, max_cutoff_A(), comm->nprocs, needed, comm->cutghostuser);
}

/* ---------------------------------------------------------------------- */

Matrix3 DomainModel::evaluate(const NeighList *list, std::span<double> forces)
{
  if (is_stale(list)) take_list(list);
  find_types();
  Matrix3 strain_derivative{};
  std::string problem;
  try {
    graph_.build({atom->nlocal + atom->nghost ? atom->x[0] : nullptr, types_, owner_, ids_},
                 static_cast<std::size_t>(atom->nlocal), *rules_, passport().reach(), candidates_, NEIGHMASK);
    session_->evaluate(graph_.input());
    const auto energies = atom_energies();
    energy_eV_ = std::accumulate(energies.begin(), energies.end(), 0.0);
    strain_derivative = add_forces(graph_.edges(), edge_gradients(), forces);
    check_finite(strain_derivative);
  } catch (const std::exception &failure) {
    problem = "step " + std::to_string(update->ntimestep) + ": " + failure.what();
  }
  stop_together(lmp, problem);
  return strain_derivative;
}

/// A network far outside its training data may answer NaN; nothing later would notice.
void DomainModel::check_finite(const Matrix3 &strain_derivative) const
{
  double sum = energy_eV_;
  for (const auto &row : strain_derivative) sum += row[0] + row[1] + row[2];
  if (!std::isfinite(sum))
    throw Error("model " + record_.path +
                " gave an energy or forces that are not finite numbers: the structure has left what it was trained on. "
                "Look at the last frames, and at the time step");
}

bool DomainModel::is_stale(const NeighList *list) const
{
  // A step without a call of ours may hide a reneighbouring, hence its own time stamp too.
  return list->occasional || neighbor->ago == 0 || neighbor->lastcall != list_step_ ||
         owner_.size() != static_cast<std::size_t>(atom->nlocal + atom->nghost);
}

/// pair hybrid lets a later pair_coeff take pairs of types away; a network without them is wrong, and says nothing.
void DomainModel::check_pairs(const NeighList *list) const
{
  if (!list->ijskip) return;
  for (int i = 1; i <= atom->ntypes; ++i)
    for (int j = i; j <= atom->ntypes; ++j)
      if (sees(i) && sees(j) && list->ijskip[i][j])
        error->all(FLERR,
                   "{}: a later pair_coeff gave pairs of atom types {} and {} to another style, but model {} needs all "
                   "neighbours of the atoms it sees: name one of the types NULL, or use 'pair_style hybrid/overlay'",
                   command_, i, j, record_.path);
}

void DomainModel::take_list(const NeighList *list)
{
  check_communication();
  check_pairs(list);
  list_step_ = neighbor->lastcall;
  candidates_.assign(static_cast<std::size_t>(atom->nlocal + atom->nghost), {});
  const int listed = list->inum + (list->ghost ? list->gnum : 0);
  for (int k = 0; k < listed; ++k) {
    const int i = list->ilist[k];
    candidates_[static_cast<std::size_t>(i)] = {list->firstneigh[i], static_cast<std::size_t>(list->numneigh[i])};
  }
  find_owners();
}

/// The atom that each ghost folds onto: the first with its ID, owned atoms before ghosts.
void DomainModel::find_owners()
{
  const std::size_t all = candidates_.size();
  std::unordered_map<tagint, int> first;
  first.reserve(all);
  owner_.resize(all);
  ids_.resize(all);
  for (std::size_t i = 0; i < all; ++i) {
    ids_[i] = atom->tag[i];
    owner_[i] = first.try_emplace(atom->tag[i], static_cast<int>(i)).first->second;
  }
}

/// At every step: fixes that exchange species change types between two neighbour lists.
void DomainModel::find_types()
{
  types_.resize(owner_.size());
  for (std::size_t i = 0; i < types_.size(); ++i) types_[i] = model_type_[atom->type[i]];
}

std::span<const double> DomainModel::atom_energies() const
{
  return session_->atom_energies().first(graph_.owned_atoms().size());
}

double DomainModel::memory_bytes() const
{
  return 60.0 * static_cast<double>(graph_.edges().size()) + 40.0 * static_cast<double>(owner_.size());
}

}  // namespace lpsmd
