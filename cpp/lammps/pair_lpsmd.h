/* -*- c++ -*- ----------------------------------------------------------
   pair_style lpsmd: force fields exported by lpsmd, run through ModelSession.
------------------------------------------------------------------------- */

#ifndef LMP_PAIR_LPSMD_H
#define LMP_PAIR_LPSMD_H

#include "pair.h"

#include <memory>

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
  double memory_usage() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;

  void allocate();
  void check_masses() const;
  void find_owners();
  void build_graph();
  void tally_atoms();
};

}  // namespace LAMMPS_NS

#endif
