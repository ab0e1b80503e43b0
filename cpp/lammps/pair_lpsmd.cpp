#include "lammps/pair_lpsmd.h"

#include "atom.h"
#include "comm.h"
#include "error.h"
#include "force.h"
#include "input.h"
#include "memory.h"
#include "neighbor.h"
#include "universe.h"
#include "utils.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "lammps/domain_model.h"
#include "lammps/environment.h"
#include "lammps/model_options.h"
#include "lammps/restart_file.h"

using namespace LAMMPS_NS;

// Order of LAMMPS' virial components; a centroid virial has all nine.
static constexpr std::array<std::array<std::size_t, 2>, 9> kVoigt = {
    {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}, {1, 0}, {2, 0}, {2, 1}}};

static constexpr auto kCommand = "pair_style lpsmd";

struct PairLpsmd::Impl {
  Impl(LAMMPS *lmp) : model(lmp, kCommand) {}

  lpsmd::ModelOptions options;
  lpsmd::DomainModel model;
  lpsmd::ModelRecord chosen;     // by pair_coeff or a restart (loaded at the next init); as loaded from then on
  double logged_cutoff_A = 0.0;  // of ghosts: said once, not at every run
  bool cost_is_logged = false;

  // Without newton, what acts on ghosts is sent to their owners by us: `width` numbers for each atom.
  std::vector<double> ghost_values;
  std::size_t width = 3;
};

/* ---------------------------------------------------------------------- */

PairLpsmd::PairLpsmd(LAMMPS *host) : Pair(host), impl_(std::make_unique<Impl>(host))
{
  lpsmd::check_units(lmp, kCommand);
  single_enable = 0;
  restartinfo = 1;
  one_coeff = 1;
  manybody_flag = 1;
  ghostneigh = 1;  // cutghost is ours to set; lists of ghosts are asked for where they are needed
  // Forces of images are folded onto their owners, so the sum over f.r would miss the cell vectors.
  no_virial_fdotr_compute = 1;
  comm_reverse = comm_reverse_off = kVoigt.size();  // LAMMPS' communication styles differ in which they look at
  // Known once there is a model; pair hybrid asks before, and then does without.
  centroidstressflag = CENTROID_NOTAVAIL;
}

/// Before 2025 LAMMPS kept it for itself: then it might be 'clear'.
template <typename Input> static std::string command_at_work(const Input *input)
{
  if constexpr (requires { std::string(input->command); })
    return input->command ? input->command : "";
  else
    return "clear";
}

PairLpsmd::~PairLpsmd()
{
  // When LAMMPS ends it deletes its Update, and then all else; by 'clear' it only begins anew.
  if (!update && universe->nworlds > 1 && command_at_work(input) != "clear") lpsmd::rest_from_now_on();
  if (!allocated) return;
  memory->destroy(setflag);
  memory->destroy(cutsq);
  memory->destroy(cutghost);
}

/* ----------------------------------------------------------------------
   pair_style lpsmd device auto masses check elements once
------------------------------------------------------------------------- */

void PairLpsmd::settings(int narg, char **arg)
{
  // LAMMPS calls this again on the living style when pair_style is repeated.
  if (allocated) forget_model();
  lpsmd::OptionReader(lmp, kCommand).read(0, narg, arg, impl_->options);
}

/* ----------------------------------------------------------------------
   pair_coeff * * model.pt Li P S Cl
------------------------------------------------------------------------- */

void PairLpsmd::coeff(int narg, char **arg)
{
  const int n = atom->ntypes;
  // Nothing of an earlier model may survive a failure: LAMMPS, or init_style, then asks for pair_coeff again.
  forget_model();
  if (narg < 3)  // LAMMPS sees to the asterisks: one_coeff
    error->all(FLERR,
               "pair_style lpsmd needs 'pair_coeff * * model.pt' and the element of each atom type in order, found "
               "only 'pair_coeff * *'");
  if (narg != 3 + n)
    error->all(FLERR, "pair_coeff names {} elements, this simulation has {} atom types: name one for each, in order",
               narg - 3, n);
  const std::vector<std::string> named(arg + 3, arg + narg);
  const auto unseen = std::find(named.begin(), named.end(), "NULL");
  if (unseen != named.end() && force->pair == this)
    error->all(
        FLERR,
        "pair_style lpsmd: atom type {} is NULL, so nothing acts on it: name its element, or leave it to another "
        "style with 'pair_style hybrid'",
        unseen - named.begin() + 1);

  impl_->chosen = lpsmd::named_model(arg[2], named);
  load_model();
  for (int i = 1; i <= n; ++i)
    for (int j = 1; j <= n; ++j) setflag[i][j] = impl_->model.sees(i) && impl_->model.sees(j);
}

void PairLpsmd::load_model()
{
  impl_->model.load(impl_->chosen, impl_->options);
  impl_->chosen = impl_->model.record();
  impl_->model.log_model();
  // Ranks of one simulation wait for each other, and must not do so for a slice.
  if (universe->nworlds > 1 && comm->nprocs == 1 && !impl_->model.on_gpu()) lpsmd::compute_in_long_slices();
  // An edge's virial goes to the atom whose displacement it answers to. Energies of message-passing models answer
  // to atoms beyond their edges, which the contract, a sum over centres, does not tell apart.
  centroidstressflag = impl_->model.passport().local && force->pair == this ? CENTROID_AVAIL : CENTROID_NOTAVAIL;
}

void PairLpsmd::forget_model()
{
  if (!allocated) allocate();
  const int n = atom->ntypes;
  for (int i = 1; i <= n; ++i)
    for (int j = 1; j <= n; ++j) setflag[i][j] = 0;
  impl_->model.forget();
  impl_->chosen = {};
}

void PairLpsmd::allocate()
{
  allocated = 1;
  const int n = atom->ntypes + 1;
  memory->create(setflag, n, n, "pair:setflag");
  memory->create(cutsq, n, n, "pair:cutsq");
  memory->create(cutghost, n, n, "pair:cutghost");
}

/* ---------------------------------------------------------------------- */

void PairLpsmd::init_style()
{
  // pair hybrid does not look at our setflag.
  if (impl_->chosen.path.empty()) error->all(FLERR, "pair_style lpsmd has no model: its last pair_coeff failed");
  if (!impl_->model.loaded()) load_model();
  impl_->model.check_simulation();
  const bool layers = impl_->model.needs_ghost_layers();
  neighbor->add_request(this, layers ? NeighConst::REQ_FULL | NeighConst::REQ_GHOST : NeighConst::REQ_FULL);
  if (layers) reach_for_ghosts();
}

/// Asked for at every init, since 'comm_modify cutoff' may have come in between.
void PairLpsmd::reach_for_ghosts()
{
  const double needed = impl_->model.ghost_cutoff_A();
  comm->cutghostuser = std::max(comm->cutghostuser, needed);
  if (needed == impl_->logged_cutoff_A) return;
  impl_->logged_cutoff_A = needed;
  impl_->cost_is_logged = false;
  if (comm->me != 0) return;
  utils::logmesg(lmp, "pair_style lpsmd: {} ranks take ghosts within {:.4g} A ({} layers x {:.4g} A and the skin)\n",
                 comm->nprocs, needed, impl_->model.passport().layers, impl_->model.passport().cutoff_A);
}

double PairLpsmd::init_one(int i, int j)
{
  const double cutoff = impl_->model.cutoff_A(i, j);
  cutghost[i][j] = cutghost[j][i] = cutoff;
  return cutoff;
}

/* ---------------------------------------------------------------------- */

void PairLpsmd::compute(int eflag, int vflag)
{
  ev_init(eflag, vflag);
  lpsmd::DomainModel &model = impl_->model;
  lpsmd::Matrix3 strain_derivative{};
  on_all_atoms(atom->f, 3, [&](std::span<double> forces) { strain_derivative = model.evaluate(list, forces); });
  if (eflag_global) eng_vdwl += model.energy_eV();
  if (vflag_global)
    for (std::size_t k = 0; k < 6; ++k) virial[k] -= strain_derivative[kVoigt[k][0]][kVoigt[k][1]];
  if (eflag_atom) tally_atom_energies();
  if (vflag_atom) on_all_atoms(vatom, 6, [&](std::span<double> rows) { tally_edge_virials<6>(rows); });
  if (cvflag_atom) on_all_atoms(cvatom, 9, [&](std::span<double> rows) { tally_edge_virials<9>(rows); });
  if (!impl_->cost_is_logged && model.needs_ghost_layers()) log_cost();
}

/// Lets `add` add to the rows of all atoms. LAMMPS sends what acts on ghosts to their owners; without newton it does
/// not, and we do. On a single rank all ghosts are folded already.
template <typename Add> void PairLpsmd::on_all_atoms(double **array, std::size_t width, const Add &add)
{
  const auto owned = static_cast<std::size_t>(atom->nlocal), all = owned + static_cast<std::size_t>(atom->nghost);
  if (force->newton_pair || comm->nprocs == 1) return add({all ? array[0] : nullptr, width * all});
  auto &values = impl_->ghost_values;
  impl_->width = width;
  values.assign(width * all, 0.0);
  add(values);
  comm->reverse_comm(this);
  for (std::size_t k = 0; k < width * owned; ++k) array[0][k] += values[k];
}

int PairLpsmd::pack_reverse_comm(int n, int first, double *buffer)
{
  const std::size_t width = impl_->width;
  std::copy_n(impl_->ghost_values.data() + width * static_cast<std::size_t>(first), width * static_cast<std::size_t>(n),
              buffer);
  return n * static_cast<int>(width);
}

void PairLpsmd::unpack_reverse_comm(int n, int *atoms, double *buffer)
{
  const std::size_t width = impl_->width;
  for (int k = 0; k < n; ++k)
    for (std::size_t c = 0; c < width; ++c)
      impl_->ghost_values[width * static_cast<std::size_t>(atoms[k]) + c] += *buffer++;
}

void PairLpsmd::tally_atom_energies()
{
  const auto atoms = impl_->model.graph().owned_atoms();
  const auto energies = impl_->model.atom_energies();
  for (std::size_t k = 0; k < atoms.size(); ++k) eatom[atoms[k]] += energies[k];
}

/// The virial of an edge, -r (x) g, goes wholly to its neighbour: for a local model that makes the heat flux right
/// (doi:10.1103/PhysRevB.92.094301, eq. 22).
template <std::size_t Width> void PairLpsmd::tally_edge_virials(std::span<double> rows)
{
  const auto &edges = impl_->model.graph().edges();
  const auto neighbors = edges.neighbors();
  const auto r = edges.vectors();
  const auto g = impl_->model.edge_gradients();
  for (std::size_t e = 0; e < edges.size(); ++e) {
    double *const row = &rows[Width * static_cast<std::size_t>(neighbors[e])];
    for (std::size_t k = 0; k < Width; ++k) row[k] -= r[3 * e + kVoigt[k][0]] * g[3 * e + kVoigt[k][1]];
  }
}

/// What several ranks cost a message-passing model: the edges of ghosts are evaluated by each rank that needs them.
void PairLpsmd::log_cost()
{
  impl_->cost_is_logged = true;
  const auto &graph = impl_->model.graph();
  std::array<double, 2> edges = {static_cast<double>(graph.owned_edge_count()),
                                 static_cast<double>(graph.edges().size())};
  MPI_Allreduce(MPI_IN_PLACE, edges.data(), 2, MPI_DOUBLE, MPI_SUM, world);
  if (comm->me == 0 && edges[0] > 0.0)
    utils::logmesg(lmp, "pair_style lpsmd: {} ranks evaluate {} edges, one rank would {}: {:.3g} times the work\n",
                   comm->nprocs, edges[1], edges[0], edges[1] / edges[0]);
}

double PairLpsmd::memory_usage()
{
  return Pair::memory_usage() + impl_->model.memory_bytes() + 8.0 * static_cast<double>(impl_->ghost_values.capacity());
}

/* ----------------------------------------------------------------------
   A restart holds the settings, and which model it was: its path and hash. It is loaded at the next init, so
   that a restart whose model is gone or changed can still be read, and given another one by pair_coeff.
------------------------------------------------------------------------- */

void PairLpsmd::write_restart(FILE *file)
{
  write_restart_settings(file);
  const lpsmd::ModelRecord &record = impl_->chosen;
  std::vector<std::string> texts = {record.path, record.sha256};
  texts.insert(texts.end(), record.elements.begin(), record.elements.end());
  lpsmd::write_texts(file, texts);
}

void PairLpsmd::read_restart(FILE *file)
{
  read_restart_settings(file);
  forget_model();
  const auto texts = lpsmd::read_texts(lmp, file);
  if (texts.size() != 2 + static_cast<std::size_t>(atom->ntypes)) return;  // written before any pair_coeff
  impl_->chosen = {texts[0], texts[1], {texts.begin() + 2, texts.end()}};
  for (int i = 1; i <= atom->ntypes; ++i)
    for (int j = 1; j <= atom->ntypes; ++j) setflag[i][j] = 1;
}

void PairLpsmd::write_restart_settings(FILE *file)
{
  const lpsmd::ModelOptions &options = impl_->options;
  lpsmd::write_texts(file, {options.device.request, options.check_masses ? "check" : "ignore",
                            options.shared_elements ? "shared" : "once"});
}

void PairLpsmd::read_restart_settings(FILE *file)
{
  auto texts = lpsmd::read_texts(lmp, file);
  if (texts.size() != 3)
    error->all(FLERR, "pair_style lpsmd: the restart file was written by another version of lpsmd");
  std::array<std::string, 6> words = {"device", texts[0], "masses", texts[1], "elements", texts[2]};
  std::array<char *, 6> arguments{};
  std::ranges::transform(words, arguments.begin(), [](std::string &word) { return word.data(); });
  settings(static_cast<int>(arguments.size()), arguments.data());
}

/* ---------------------------------------------------------------------- */

extern "C" __attribute__((visibility("default"))) void *lpsmd_create_pair(void *lmp)
{
  return new PairLpsmd(static_cast<LAMMPS *>(lmp));
}
