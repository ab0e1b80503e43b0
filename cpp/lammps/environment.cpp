#include "lammps/environment.h"

#include <dlfcn.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string_view>

namespace fs = std::filesystem;

namespace lpsmd {

namespace {

bool is_lammps_program()
{
  return std::string_view(program_invocation_short_name).starts_with("lmp");
}

}  // namespace

int local_rank(int fallback)
{
  for (const char *const variable : {"MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID"})
    if (const char *const value = std::getenv(variable)) return std::atoi(value);
  return fallback;
}

void compute_in_long_slices()
{
  if (!is_lammps_program()) return;
  // Linux' struct sched_attr (sched_setattr(2)), which C libraries do not declare. Kernels before 6.12 take the policy
  // and leave the slice; where neither is allowed, nothing is lost.
  struct {
    std::uint32_t size = 48, policy = SCHED_BATCH;
    std::uint64_t flags = 0;
    std::int32_t nice = getpriority(PRIO_PROCESS, 0);
    std::uint32_t priority = 0;
    std::uint64_t slice_ns = 100'000'000, deadline = 0, period = 0;
  } attributes;
  syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void rest_from_now_on()
{
  if (!is_lammps_program()) return;
  // A timer of processor time: it stands still while the process waits in a better way. Priorities would not do, since
  // Linux weighs the sessions of a launcher's processes against each other (autogroups).
  struct sigaction sleep{};
  sleep.sa_flags = SA_RESTART;
  sleep.sa_handler = [](int) {
    const int kept = errno;
    const timespec pause{0, 20'000'000};
    nanosleep(&pause, nullptr);
    errno = kept;
  };
  sigaction(SIGPROF, &sleep, nullptr);
  const itimerval each_ms{{0, 1000}, {0, 1000}};
  setitimer(ITIMER_PROF, &each_ms, nullptr);
  // What libraries clean up at exit is work again.
  std::atexit([] {
    const itimerval never{};
    setitimer(ITIMER_PROF, &never, nullptr);
  });
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
