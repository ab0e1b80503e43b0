/* -*- c++ -*- ----------------------------------------------------------
   compute lpsmd/committee: how far several models disagree about the forces.
------------------------------------------------------------------------- */

#ifndef LMP_COMPUTE_LPSMD_COMMITTEE_H
#define LMP_COMPUTE_LPSMD_COMMITTEE_H

#include "compute.h"

#include <memory>
#include <string>
#include <vector>

namespace lpsmd {
struct ModelOptions;
}

namespace LAMMPS_NS {

class ComputeLpsmdCommittee : public Compute {
 public:
  ComputeLpsmdCommittee(class LAMMPS *, int, char **);
  ~ComputeLpsmdCommittee() override;

  void init() override;
  void init_list(int, class NeighList *) override;
  double compute_scalar() override;
  void compute_vector() override;
  void compute_peratom() override;

  int pack_reverse_comm(int, int, double *) override;
  void unpack_reverse_comm(int, int *, double *) override;
  double memory_usage() override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;

  void load_models(const std::vector<std::string> &names, const std::vector<std::string> &types,
                   const lpsmd::ModelOptions &options);
  bool pair_list_suffices() const;
  void reach_neighbors_of_ghosts(double cutoff_A);
  void evaluate();
  void evaluate_models();
  void deviate();
  void summarise();
  double energy_deviation() const;
};

}  // namespace LAMMPS_NS

#endif
