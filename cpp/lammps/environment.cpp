#include "lammps/environment.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

namespace fs = std::filesystem;

namespace lpsmd {

int local_rank(int fallback)
{
  for (const char *const variable : {"MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"})
    if (const char *const value = std::getenv(variable)) return std::atoi(value);
  return fallback;
}

std::string resolve_model(const std::string &name)
{
  std::error_code ignored;  // an unreadable file is for the loader to report
  if (fs::is_regular_file(name, ignored) || fs::path(name).has_parent_path() || fs::path(name).has_extension())
    return name;
  Dl_info info{};
  dladdr(reinterpret_cast<const void *>(&resolve_model), &info);
  const fs::path shipped = fs::path(info.dli_fname).parent_path() / "demo" / "models" / (name + ".pt");
  return fs::is_regular_file(shipped, ignored) ? shipped.string() : name;
}

}  // namespace lpsmd
