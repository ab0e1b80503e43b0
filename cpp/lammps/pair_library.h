#pragma once

// The one symbol of liblpsmd_pair.so, known to both sides of the split (see lpsmdplugin.cpp).

#define LPSMD_CREATE_PAIR "lpsmd_create_pair"

extern "C" {
/// A new pair style for the given LAMMPS instance.
typedef void *(*lpsmd_create_pair_t)(void *lmp);
}
