#include "lammps/pair_lpsmd.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "memory.h"
#include "neigh_list.h"
#include "neighbor.h"
#include "universe.h"
#include "update.h"
#include "utils.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/edge_forces.h"
#include "core/elements.h"
#include "core/error.h"
#include "core/text.h"
#include "lammps/environment.h"
#include "model/session.h"

using namespace LAMMPS_NS;

// Order of LAMMPS' virial components.
static constexpr int kVoigt[6][2] = {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}};

struct PairLpsmd::Impl {
  lpsmd::DeviceChoice device;
  bool check_masses = true;
  std::optional<lpsmd::ModelSession> session;
  std::optional<lpsmd::GraphRules> rules;
  std::string model_path;
  std::vector<int> model_type;  // model type of each LAMMPS type; index 0 unused

  // Kept between steps, refreshed at each reneighbouring.
  std::vector<int> owner;                 // owned atom that each atom, ghosts included, stands for
  std::vector<int> types;                 // model type of each atom, ghosts included; of every step
  std::vector<std::int64_t> owned_types;  // the same for owned atoms, as the model takes them
  std::vector<double> weights;            // 1 for each owned atom
  lpsmd::NeighborGraph graph;
};

/* ---------------------------------------------------------------------- */

PairLpsmd::PairLpsmd(LAMMPS *host) : lpsmd::PairBase(host), impl_(std::make_unique<Impl>())
{
  if (std::string(update->unit_style) != "metal")
    error->all(FLERR,
               "pair_style lpsmd needs units metal (its models are in eV and Angstrom), found units {}. "
               "Put 'units metal' at the top of the input",
               update->unit_style);
  single_enable = 0;
  restartinfo = 0;
  one_coeff = 1;
  manybody_flag = 1;
  // Forces of images are folded onto their owners, so the sum over f.r would miss the cell vectors.
  no_virial_fdotr_compute = 1;
  centroidstressflag = CENTROID_NOTAVAIL;
}

PairLpsmd::~PairLpsmd()
{
  if (allocated) {
    memory->destroy(setflag);
    memory->destroy(cutsq);
  }
}

/* ---------------------------------------------------------------------- */

void PairLpsmd::settings(int narg, char **arg)
{
  static const std::vector<std::string> options = {"device", "masses"};
  static const std::vector<std::string> mass_choices = {"check", "ignore"};
  // LAMMPS calls this again on the living style when pair_style is repeated.
  if (allocated) forget_model();
  impl_->device = {"auto", lpsmd::local_rank(universe->iworld + comm->me)};
  impl_->check_masses = true;

  for (int k = 0; k < narg; k += 2) {
    const std::string option = arg[k];
    if (std::find(options.begin(), options.end(), option) == options.end())
      error->all(FLERR, k, "pair_style lpsmd: unknown option '{}'; did you mean '{}'? Known: {}", option,
                 lpsmd::nearest_word(option, options), lpsmd::join(options));
    if (k + 1 == narg) error->all(FLERR, k, "pair_style lpsmd: option '{}' needs a value", option);
    const std::string value = arg[k + 1];
    if (option == "device") {
      impl_->device.request = value;
    } else if (std::find(mass_choices.begin(), mass_choices.end(), value) == mass_choices.end()) {
      error->all(FLERR, k + 1, "pair_style lpsmd: masses is '{}', needs one of: {}", value, lpsmd::join(mass_choices));
    } else {
      impl_->check_masses = value == "check";
    }
  }
}

/* ----------------------------------------------------------------------
   pair_coeff * * model.pt Li P S Cl
------------------------------------------------------------------------- */

void PairLpsmd::coeff(int narg, char **arg)
{
  const int n = atom->ntypes;
  if (narg < 3 || std::string(arg[0]) != "*" || std::string(arg[1]) != "*")
    error->all(FLERR, "pair_style lpsmd needs 'pair_coeff * * model.pt' and the element of each atom type in order");
  if (narg != 3 + n)
    error->all(FLERR, "pair_coeff names {} elements, this simulation has {} atom types: name one for each, in order",
               narg - 3, n);

  // Nothing of an earlier model may survive a failure: LAMMPS then asks for pair_coeff again.
  forget_model();
  load_model(lpsmd::resolve_model(arg[2]));
  const auto &names = impl_->session->passport().type_names;
  for (int type = 1; type <= n; ++type) {
    const std::string element = arg[2 + type];
    const auto found = std::find(names.begin(), names.end(), element);
    if (found == names.end())
      error->all(FLERR, 2 + type, "atom type {} is '{}', which model {} does not know; did you mean '{}'? It knows: {}",
                 type, element, impl_->model_path, lpsmd::nearest_word(element, names), lpsmd::join(names));
    impl_->model_type[type] = static_cast<int>(found - names.begin());
  }
  for (int i = 1; i <= n; ++i)
    for (int j = 1; j <= n; ++j) setflag[i][j] = 1;
  log_model();
}

void PairLpsmd::load_model(const std::string &path)
{
  impl_->model_path = path;
  lpsmd::ModelSession::set_thread_count(comm->nthreads);
  try {
    impl_->session = lpsmd::ModelSession::load(path, impl_->device);
    impl_->rules = impl_->session->passport().graph_rules();
  } catch (const std::exception &problem) {
    error->all(FLERR, 2, problem.what());
  }
}

void PairLpsmd::forget_model()
{
  if (!allocated) allocate();
  const int n = atom->ntypes;
  for (int i = 1; i <= n; ++i)
    for (int j = 1; j <= n; ++j) setflag[i][j] = 0;
  impl_->session.reset();
  impl_->rules.reset();
  impl_->model_type.assign(n + 1, -1);
}

void PairLpsmd::log_model()
{
  if (comm->me != 0) return;
  const lpsmd::Passport &passport = impl_->session->passport();
  utils::logmesg(lmp,
                 "pair_style lpsmd: {} ({}, {}, {}), cutoff {:.4g} A, {} message-passing layer(s), on {}; "
                 "reference frame reproduced to {:.1e} eV/A\n",
                 impl_->model_path, passport.architecture, passport.functional, passport.dtype, passport.cutoff_A,
                 passport.layers, impl_->session->device_description(), impl_->session->self_test_error_eV_per_A());
  if (impl_->session->on_gpu() && impl_->device.local_rank >= lpsmd::ModelSession::gpu_count())
    error->warning(FLERR, "process {} of this node shares a GPU with another: {} GPU(s) are visible",
                   impl_->device.local_rank, lpsmd::ModelSession::gpu_count());
}

void PairLpsmd::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
}

/* ---------------------------------------------------------------------- */

void PairLpsmd::init_style()
{
  if (comm->nprocs > 1)
    error->all(FLERR,
               "pair_style lpsmd runs on one MPI rank per simulation for now, found {}. Run it with "
               "'mpirun -np 1', or run {} replicas side by side with -partition {}x1",
               comm->nprocs, comm->nprocs, comm->nprocs);
  if (!atom->tag_enable) error->all(FLERR, "pair_style lpsmd needs atom IDs: remove 'atom_modify id no'");
  if (impl_->check_masses) check_masses();
  lpsmd::ModelSession::set_thread_count(comm->nthreads);
  neighbor->add_request(this, NeighConst::REQ_FULL);
}

/// Masses tell when elements are named in another order than the types of the data file.
void PairLpsmd::check_masses() const
{
  // Rounded masses and 6Li pass; P and S, the closest of the elements at hand, are 1.09 apart.
  constexpr double allowed = 0.95;
  const auto &names = impl_->session->passport().type_names;
  for (int type = 1; type <= atom->ntypes; ++type) {
    if (!atom->mass || !atom->mass_setflag[type]) continue;
    const std::string &element = names[impl_->model_type[type]];
    const auto expected = lpsmd::atomic_mass(element);
    if (!expected || std::abs(atom->mass[type] - *expected) <= allowed) continue;
    error->all(
        FLERR,
        "pair_coeff maps atom type {} to {} (mass {:.4g}), but its mass is {:.4g}, that of {}. Name the elements "
        "in the order of the atom types, or set 'pair_style lpsmd masses ignore' for unusual masses",
        type, element, *expected, atom->mass[type], lpsmd::element_of_mass(atom->mass[type]));
  }
}

double PairLpsmd::init_one(int i, int j)
{
  return impl_->rules->cutoff_A(impl_->model_type[i], impl_->model_type[j]);
}

/* ---------------------------------------------------------------------- */

void PairLpsmd::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  if (neighbor->ago == 0 || impl_->owner.size() != static_cast<std::size_t>(atom->nlocal + atom->nghost)) find_owners();
  find_types();
  // One rank: what it meets alone, all meet.
  try {
    build_graph();
    impl_->session->evaluate(impl_->graph, impl_->owned_types, impl_->weights);
  } catch (const std::exception &problem) {
    error->one(FLERR, "step {}: {}", update->ntimestep, problem.what());
  }

  const auto owned = static_cast<std::size_t>(atom->nlocal);
  const lpsmd::Matrix3 strain_derivative =
      lpsmd::add_forces(impl_->graph, impl_->session->edge_gradients(), {owned ? atom->f[0] : nullptr, 3 * owned});
  const auto energies = impl_->session->atom_energies();
  const double energy = std::accumulate(energies.begin(), energies.end(), 0.0);
  check_finite(energy, strain_derivative);
  if (eflag_global) eng_vdwl += energy;
  if (vflag_global)
    for (int k = 0; k < 6; ++k) virial[k] -= strain_derivative[kVoigt[k][0]][kVoigt[k][1]];
  if (eflag_atom || vflag_atom) tally_atoms();
}

/// A network far outside its training data may answer NaN; nothing later would notice.
void PairLpsmd::check_finite(double energy, const std::array<std::array<double, 3>, 3> &strain_derivative) const
{
  double sum = energy;
  for (const auto &row : strain_derivative)
    for (const double value : row) sum += value;
  if (!std::isfinite(sum))
    error->one(FLERR,
               "step {}: model {} gave an energy or forces that are not finite numbers: the structure has left what it "
               "was trained on. Look at the last frames, and at the time step",
               update->ntimestep, impl_->model_path);
}

/// The owned atom behind each ghost: on one rank every ghost is an image of an owned atom.
void PairLpsmd::find_owners()
{
  const int owned = atom->nlocal, all = owned + atom->nghost;
  std::unordered_map<tagint, int> index;
  index.reserve(owned);
  for (int i = 0; i < owned; ++i) index[atom->tag[i]] = i;
  impl_->owner.resize(all);
  for (int i = 0; i < all; ++i) impl_->owner[i] = i < owned ? i : index.at(atom->tag[i]);
  impl_->weights.assign(owned, 1.0);
}

/// At every step: fixes that exchange species change types between two neighbour lists.
void PairLpsmd::find_types()
{
  const int owned = atom->nlocal, all = owned + atom->nghost;
  impl_->types.resize(all);
  for (int i = 0; i < all; ++i) impl_->types[i] = impl_->model_type[atom->type[i]];
  impl_->owned_types.assign(impl_->types.begin(), impl_->types.begin() + owned);
}

void PairLpsmd::build_graph()
{
  const lpsmd::AtomView atoms{atom->nlocal ? atom->x[0] : nullptr, impl_->types, impl_->owner};
  std::size_t candidates = 0;
  for (int k = 0; k < list->inum; ++k) candidates += list->numneigh[list->ilist[k]];
  impl_->graph.reset(candidates);
  for (int k = 0; k < list->inum; ++k) {
    const int i = list->ilist[k];
    impl_->graph.append_centre(atoms, *impl_->rules, i,
                               {list->firstneigh[i], static_cast<std::size_t>(list->numneigh[i])}, NEIGHMASK);
  }
}

/// Energy per atom; the virial of an edge goes to its neighbour j, whose displacement it answers to.
void PairLpsmd::tally_atoms()
{
  if (eflag_atom) {
    const auto energies = impl_->session->atom_energies();
    for (int i = 0; i < atom->nlocal; ++i) eatom[i] += energies[i];
  }
  if (!vflag_atom) return;
  const auto neighbors = impl_->graph.neighbors();
  const auto r = impl_->graph.vectors();
  const auto g = impl_->session->edge_gradients();
  for (std::size_t e = 0; e < impl_->graph.size(); ++e) {
    for (int k = 0; k < 6; ++k) vatom[neighbors[e]][k] -= r[3 * e + kVoigt[k][0]] * g[3 * e + kVoigt[k][1]];
  }
}

double PairLpsmd::memory_usage()
{
  return Pair::memory_usage() + 40.0 * static_cast<double>(impl_->graph.size()) +
         24.0 * static_cast<double>(impl_->owner.size());
}

/* ---------------------------------------------------------------------- */

extern "C" __attribute__((visibility("default"))) void *lpsmd_create_pair(void *lmp)
{
  return new PairLpsmd(static_cast<LAMMPS *>(lmp));
}
