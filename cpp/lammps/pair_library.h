#pragma once

// The symbols of liblpsmd_pair.so, known to both sides of the split (see lpsmdplugin.cpp).

#define LPSMD_CREATE_PAIR "lpsmd_create_pair"
#define LPSMD_CREATE_COMMITTEE "lpsmd_create_committee"

extern "C" {
/// A new pair style for the given LAMMPS instance.
typedef void *(*lpsmd_create_pair_t)(void *lmp);
/// A new compute for the given LAMMPS instance, and the words of its command.
typedef void *(*lpsmd_create_committee_t)(void *lmp, int narg, char **arg);
}
