#pragma once

#include <algorithm>
#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace lpsmd {

/// Calls work(part, first, last) for `n_parts` consecutive ranges of 0 .. n - 1, each in a thread of its own.
///
/// The cut depends on the two numbers alone, so results kept apart by `part` do not depend on timing. The first
/// exception in order of the parts is thrown on.
template <class Work> void for_each_part(std::size_t n, std::size_t n_parts, const Work &work)
{
  const auto edge = [&](std::size_t part) { return part * n / n_parts; };
  std::vector<std::exception_ptr> failures(n_parts);
  const auto guarded = [&](std::size_t part) {
    try {
      work(part, edge(part), edge(part + 1));
    } catch (...) {
      failures[part] = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t part = 1; part < n_parts; ++part) threads.emplace_back(guarded, part);
    guarded(0);
  }
  for (const auto &failure : failures)
    if (failure) std::rethrow_exception(failure);
}

/// Parts worth making of n pieces of work: at least one, no more than pieces.
inline std::size_t parts_of(std::size_t n, std::size_t threads)
{
  return std::max<std::size_t>(1, std::min(n, threads));
}

}  // namespace lpsmd
