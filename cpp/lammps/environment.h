#pragma once

#include <string>

namespace lpsmd {

/// Rank of this process on its node, as the launcher tells it; `fallback` where no launcher does.
/// Never the rank in the simulation's own communicator: under -partition that is 0 for everyone.
int local_rank(int fallback);

// Partitions on fewer cores than there are of them: two things that make them as fast as runs of their own. Both apply
// to LAMMPS' own program only, and not, say, to a Python session.

/// Keeps a core for long at a time once it has one: with slices of a millisecond, networks that share a core throw each
/// other's numbers out of its caches.
void compute_in_long_slices();

/// From now on, sleeps most of the time in which it would compute. LAMMPS ends in a barrier of all its partitions, and
/// MPI waits there by spinning: a partition that is done early would take half of a core from one that is not.
void rest_from_now_on();

/// `name` itself if such a file exists; else, for a bare name such as nequip_pbe, the model of that name
/// that is installed with lpsmd; else `name` unchanged, for the loader to complain about.
std::string resolve_model(const std::string &name);

}  // namespace lpsmd
