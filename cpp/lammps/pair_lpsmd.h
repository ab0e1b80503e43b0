/* -*- c++ -*- ----------------------------------------------------------
   pair_style lpsmd: force fields exported by lpsmd, run through DomainModel.
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_LPSMD_H
#define LMP_PAIR_LPSMD_H

#include "pair.h"

#include <cstddef>
#include <memory>
#include <span>

namespace LAMMPS_NS {

class PairLpsmd : public Pair {
 public:
  PairLpsmd(class LAMMPS *);
  ~PairLpsmd() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;

  void write_restart(FILE *) override;
  void read_restart(FILE *) override;
  void write_restart_settings(FILE *) override;
  void read_restart_settings(FILE *) override;

  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;

  void allocate();
  void forget_model();
  void load_model();
  void reach_for_ghosts();
  template <typename Add> void on_all_atoms(double **array, std::size_t width, const Add &add);
  void tally_atom_energies();
  template <std::size_t Width> void tally_edge_virials(std::span<double> rows);
  void log_cost();
};

}  // namespace LAMMPS_NS

#endif
