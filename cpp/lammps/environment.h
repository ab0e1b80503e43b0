#pragma once

#include <string>

namespace lpsmd {

/// Rank of this process on its node, as the launcher tells it; `fallback` where no launcher does.
/// Never the rank in the simulation's own communicator: under -partition that is 0 for everyone.
int local_rank(int fallback);

/// `name` itself if such a file exists; else, for a bare name such as nequip_pbe, the model of that name
/// that is installed with lpsmd; else `name` unchanged, for the loader to complain about.
std::string resolve_model(const std::string &name);

}  // namespace lpsmd
