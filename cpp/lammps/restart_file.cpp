#include "lammps/restart_file.h"

#include "error.h"
#include "utils.h"

#include <cstring>

using namespace LAMMPS_NS;

namespace lpsmd {

// One block: its length, then the texts, each with a zero byte at its end.

void write_texts(FILE *file, const std::vector<std::string> &texts)
{
  std::string block;
  for (const std::string &text : texts) block.append(text).push_back('\0');
  const int length = static_cast<int>(block.size());
  fwrite(&length, sizeof length, 1, file);
  fwrite(block.data(), 1, block.size(), file);
}

std::vector<std::string> read_texts(LAMMPS *lmp, FILE *file)
{
  int rank = 0, length = 0;
  MPI_Comm_rank(lmp->world, &rank);
  if (rank == 0) utils::sfread(FLERR, &length, sizeof length, 1, file, nullptr, lmp->error);
  MPI_Bcast(&length, 1, MPI_INT, 0, lmp->world);
  std::string block(static_cast<std::size_t>(length), '\0');
  if (rank == 0 && length > 0) utils::sfread(FLERR, block.data(), 1, block.size(), file, nullptr, lmp->error);
  MPI_Bcast(block.data(), length, MPI_CHAR, 0, lmp->world);

  std::vector<std::string> texts;
  for (std::size_t start = 0; start < block.size(); start += texts.back().size() + 1)
    texts.emplace_back(block.c_str() + start);
  return texts;
}

}  // namespace lpsmd
