#pragma once

#include "pointers.h"

#include <cstdio>
#include <string>
#include <vector>

namespace lpsmd {

/// Texts in LAMMPS' restart files. Only the first rank has the file; what it reads, all ranks get.
void write_texts(FILE *file, const std::vector<std::string> &texts);
std::vector<std::string> read_texts(LAMMPS_NS::LAMMPS *lmp, FILE *file);

}  // namespace lpsmd
