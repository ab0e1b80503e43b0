#pragma once

// What a list of our own needs of LAMMPS' class of requests. Its binary distributions leave neigh_request.h out; the
// member function is resolved in the host program.

#if __has_include("neigh_request.h")
#include "neigh_request.h"
#else
namespace LAMMPS_NS {
class NeighRequest {
 public:
  void set_cutoff(double);
};
}  // namespace LAMMPS_NS
#endif
