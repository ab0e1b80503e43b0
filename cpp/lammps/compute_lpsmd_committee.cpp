#include "lammps/compute_lpsmd_committee.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "pair.h"
#include "update.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "lammps/domain_model.h"
#include "lammps/model_options.h"
#include "lammps/neighbor_request.h"

using namespace LAMMPS_NS;

static constexpr auto kCommand = "compute lpsmd/committee";

// The global vector: deviations of the forces over the atoms of the group, then that of the energy.
enum { MAX, MEAN, MIN, ENERGY, VALUES };

struct ComputeLpsmdCommittee::Impl {
  std::vector<std::unique_ptr<lpsmd::DomainModel>> models;
  NeighList *list = nullptr;
  bigint step = -1;  // of what follows

  std::vector<double> all_forces;           // [owned and ghosts, 3] of the model at work
  std::vector<std::vector<double>> forces;  // [models][owned, 3]
  std::vector<double> energies;             // [models] of this rank's atoms
  std::vector<double> deviations;           // [owned] of forces; 0 outside the group
  std::array<double, VALUES> values{};
};

/* ----------------------------------------------------------------------
   compute ID group lpsmd/committee models a.pt b.pt ... types Li P S Cl device auto masses check elements once
------------------------------------------------------------------------- */

ComputeLpsmdCommittee::ComputeLpsmdCommittee(LAMMPS *host, int narg, char **arg) :
    Compute(host, narg, arg),
    impl_(std::make_unique<Impl>())
{
  lpsmd::check_units(lmp, kCommand);
  scalar_flag = vector_flag = peratom_flag = 1;
  size_peratom_cols = 0;
  size_vector = VALUES;
  extscalar = extvector = 0;
  comm_reverse = 3;
  vector = impl_->values.data();

  lpsmd::OptionReader reader(lmp, kCommand, {"models", "types"});
  lpsmd::ModelOptions options;
  reader.read(3, narg, arg, options);
  load_models(reader.list("models"), reader.list("types"), options);
}

ComputeLpsmdCommittee::~ComputeLpsmdCommittee() = default;

void ComputeLpsmdCommittee::load_models(const std::vector<std::string> &names, const std::vector<std::string> &types,
                                        const lpsmd::ModelOptions &options)
{
  if (names.size() < 2)
    error->all(FLERR, "{} has {} model(s), needs at least 2: give their files after 'models'", kCommand, names.size());
  if (types.size() != static_cast<std::size_t>(atom->ntypes))
    error->all(FLERR, "{}: 'types' names {} elements, this simulation has {} atom types: name one for each, in order",
               kCommand, types.size(), atom->ntypes);
  for (const std::string &name : names) {
    auto &model = impl_->models.emplace_back(std::make_unique<lpsmd::DomainModel>(lmp, kCommand));
    model->load(lpsmd::named_model(name, types), options);
    model->log_model();
  }
}

/* ---------------------------------------------------------------------- */

void ComputeLpsmdCommittee::init()
{
  double ghost_cutoff_A = 0.0, cutoff_A = 0.0;
  bool of_ghosts = false;
  for (const auto &model : impl_->models) {
    model->check_simulation();
    ghost_cutoff_A = std::max(ghost_cutoff_A, model->ghost_cutoff_A());
    cutoff_A = std::max(cutoff_A, model->max_cutoff_A());
    of_ghosts = of_ghosts || model->needs_ghost_layers();
  }
  comm->cutghostuser = std::max(comm->cutghostuser, ghost_cutoff_A);
  // Without newton LAMMPS makes room for what pair styles send to owners, and not for computes.
  if (force->pair) force->pair->comm_reverse_off = std::max(force->pair->comm_reverse_off, comm_reverse);

  // LAMMPS has no lists of ghosts that are built on demand only.
  NeighRequest *const request = neighbor->add_request(
      this, NeighConst::REQ_FULL | (of_ghosts ? NeighConst::REQ_GHOST : NeighConst::REQ_OCCASIONAL));
  if (of_ghosts)
    reach_neighbors_of_ghosts(cutoff_A);
  else if (!pair_list_suffices())
    request->set_cutoff(cutoff_A + neighbor->skin);
}

/// Whether lists of the cutoffs of the pair style have all pairs of every model.
bool ComputeLpsmdCommittee::pair_list_suffices() const
{
  if (!force->pair) return false;
  for (int i = 1; i <= atom->ntypes; ++i)
    for (int j = i; j <= atom->ntypes; ++j)
      for (const auto &model : impl_->models)
        if (model->cutoff_A(i, j) > std::sqrt(force->pair->cutsq[i][j])) return false;
  return true;
}

/// A cutoff of a request's own is that of owned atoms' neighbours only; those of ghosts go by the pair style's.
void ComputeLpsmdCommittee::reach_neighbors_of_ghosts(double cutoff_A)
{
  if (!pair_list_suffices())
    error->all(
        FLERR,
        "{}: message-passing models on {} ranks need neighbours of ghosts within {:.4g} A, and LAMMPS finds them "
        "as far as the pair style looks, which is less: use one rank, or let the pair style look further, as in "
        "'pair_style hybrid/overlay ... zero {:.4g}'",
        kCommand, comm->nprocs, cutoff_A, cutoff_A);
  if (!force->pair->ghostneigh) return;
  for (int i = 1; i <= atom->ntypes; ++i)
    for (int j = 1; j <= atom->ntypes; ++j)
      force->pair->cutghost[i][j] = std::max(force->pair->cutghost[i][j], std::sqrt(force->pair->cutsq[i][j]));
}

void ComputeLpsmdCommittee::init_list(int, NeighList *list)
{
  impl_->list = list;
}

/* ---------------------------------------------------------------------- */

double ComputeLpsmdCommittee::compute_scalar()
{
  invoked_scalar = update->ntimestep;
  evaluate();
  return scalar = impl_->values[MAX];
}

void ComputeLpsmdCommittee::compute_vector()
{
  invoked_vector = update->ntimestep;
  evaluate();
}

void ComputeLpsmdCommittee::compute_peratom()
{
  invoked_peratom = update->ntimestep;
  evaluate();
}

/// Once for an output, however many of its values are asked for: LAMMPS clears the flag before each, and positions may
/// have been changed from outside at the same step.
void ComputeLpsmdCommittee::evaluate()
{
  if (invoked_flag != 0 && impl_->step == update->ntimestep) return;
  evaluate_models();
  deviate();
  summarise();
  impl_->step = update->ntimestep;
}

void ComputeLpsmdCommittee::evaluate_models()
{
  if (!impl_->list) error->all(FLERR, "{} has no neighbours yet: start a run without 'pre no' first", kCommand);
  // Fixes that change the box at the end of a step move owned atoms, and leave ghosts behind until the next.
  comm->forward_comm();
  if (impl_->list->occasional) neighbor->build_one(impl_->list);
  const auto owned = static_cast<std::size_t>(atom->nlocal), all = owned + static_cast<std::size_t>(atom->nghost);
  impl_->forces.resize(impl_->models.size());
  impl_->energies.clear();
  for (std::size_t m = 0; m < impl_->models.size(); ++m) {
    impl_->all_forces.assign(3 * all, 0.0);
    impl_->models[m]->evaluate(impl_->list, impl_->all_forces);
    if (comm->nprocs > 1) comm->reverse_comm(this);  // one rank folds all ghosts
    impl_->forces[m].assign(impl_->all_forces.begin(),
                            impl_->all_forces.begin() + static_cast<std::ptrdiff_t>(3 * owned));
    impl_->energies.push_back(impl_->models[m]->energy_eV());
  }
}

/// Of atom i: sqrt(<|F_i - <F_i>|^2>), averages over the models (doi:10.1016/j.cpc.2020.107206).
void ComputeLpsmdCommittee::deviate()
{
  const auto owned = static_cast<std::size_t>(atom->nlocal);
  const auto count = static_cast<double>(impl_->models.size());
  impl_->deviations.assign(owned, 0.0);
  for (std::size_t i = 0; i < owned; ++i) {
    if (!(atom->mask[i] & groupbit)) continue;
    double variance = 0.0;
    for (std::size_t c = 3 * i; c < 3 * i + 3; ++c) {
      double mean = 0.0;
      for (const auto &forces : impl_->forces) mean += forces[c] / count;
      for (const auto &forces : impl_->forces) variance += (forces[c] - mean) * (forces[c] - mean) / count;
    }
    impl_->deviations[i] = std::sqrt(variance);
  }
  vector_atom = impl_->deviations.data();
}

void ComputeLpsmdCommittee::summarise()
{
  double sum = 0.0, count = 0.0;
  std::array<double, 2> extremes = {0.0, -std::numeric_limits<double>::infinity()};  // of d and of -d
  for (int i = 0; i < atom->nlocal; ++i) {
    if (!(atom->mask[i] & groupbit) || !impl_->models.front()->sees(atom->type[i])) continue;
    const double deviation = impl_->deviations[static_cast<std::size_t>(i)];
    extremes = {std::max(extremes[0], deviation), std::max(extremes[1], -deviation)};
    sum += deviation;
    count += 1.0;
  }
  std::array<double, 2> sums = {sum, count};
  MPI_Allreduce(MPI_IN_PLACE, extremes.data(), 2, MPI_DOUBLE, MPI_MAX, world);
  MPI_Allreduce(MPI_IN_PLACE, sums.data(), 2, MPI_DOUBLE, MPI_SUM, world);
  const bool any = sums[1] > 0.0;
  impl_->values = {extremes[0], any ? sums[0] / sums[1] : 0.0, any ? -extremes[1] : 0.0, energy_deviation()};
}

/// Standard deviation of the models' total energies, for each atom.
double ComputeLpsmdCommittee::energy_deviation() const
{
  std::vector<double> energies = impl_->energies;
  const auto count = static_cast<double>(energies.size());
  MPI_Allreduce(MPI_IN_PLACE, energies.data(), static_cast<int>(energies.size()), MPI_DOUBLE, MPI_SUM, world);
  const double mean = std::accumulate(energies.begin(), energies.end(), 0.0) / count;
  double variance = 0.0;
  for (const double energy : energies) variance += (energy - mean) * (energy - mean) / count;
  return atom->natoms > 0 ? std::sqrt(variance) / static_cast<double>(atom->natoms) : 0.0;
}

/* ---------------------------------------------------------------------- */

int ComputeLpsmdCommittee::pack_reverse_comm(int n, int first, double *buffer)
{
  std::copy_n(impl_->all_forces.data() + 3 * static_cast<std::size_t>(first), 3 * static_cast<std::size_t>(n), buffer);
  return 3 * n;
}

void ComputeLpsmdCommittee::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  for (int k = 0; k < n; ++k)
    for (std::size_t c = 0; c < 3; ++c) impl_->all_forces[3 * static_cast<std::size_t>(atoms[k]) + c] += *buffer++;
}

double ComputeLpsmdCommittee::memory_usage()
{
  double bytes = 8.0 * static_cast<double>(impl_->all_forces.capacity() + impl_->deviations.capacity());
  for (const auto &forces : impl_->forces) bytes += 8.0 * static_cast<double>(forces.capacity());
  for (const auto &model : impl_->models) bytes += model->memory_bytes();
  return bytes;
}

/* ---------------------------------------------------------------------- */

extern "C" __attribute__((visibility("default"))) void *lpsmd_create_committee(void *lmp, int narg, char **arg)
{
  return new ComputeLpsmdCommittee(static_cast<LAMMPS *>(lmp), narg, arg);
}
