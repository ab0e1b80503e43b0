/* -*- c++ -*- ----------------------------------------------------------
   pair_style lpsmd: force fields exported by lpsmd, run through ModelSession.
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_LPSMD_H
#define LMP_PAIR_LPSMD_H

#include "lammps/compat.h"

#include <array>
#include <memory>
#include <string>

namespace LAMMPS_NS {

class PairLpsmd : public lpsmd::PairBase {
 public:
  PairLpsmd(class LAMMPS *);
  ~PairLpsmd() override;

  void settings(int, char **) override;
  void coeff(int, char **) override;
  void init_style() override;
  double init_one(int, int) override;
  void compute(int, int) override;
  double memory_usage() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;

  void allocate();
  void load_model(const std::string &path);
  void forget_model();
  void log_model();
  void check_masses() const;
  void check_finite(double energy, const std::array<std::array<double, 3>, 3> &strain_derivative) const;
  void find_owners();
  void find_types();
  void build_graph();
  void tally_atoms();
};

}  // namespace LAMMPS_NS

#endif
