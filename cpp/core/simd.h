#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

// One build for every machine: the inner loops are compiled several times and the best taken at load time.
// (The address sanitizer is not up yet when the choice is made.)
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define LPSMD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define LPSMD_CLONES
#endif

// Before a loop whose iterations touch different memory, so that it may be vectorised without a check.
#if defined(__clang__)
#define LPSMD_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define LPSMD_INDEPENDENT _Pragma("GCC ivdep")
#else
#define LPSMD_INDEPENDENT
#endif

namespace lpsmd {

/// Memory that starts on a cache line, so that vectors of 512 bits never cross two; vector(n) leaves it unset.
template <class T> struct CacheLineAllocator {
  using value_type = T;
  static constexpr std::align_val_t alignment{64};

  CacheLineAllocator() = default;
  template <class U> CacheLineAllocator(const CacheLineAllocator<U> &) {}
  T *allocate(std::size_t n)
  {
    void *const memory = ::operator new(n * sizeof(T), alignment);
#ifdef __linux__
    // pages of 2 MB where the system has them: long trajectories then do not wait for thousands of page faults
    constexpr std::size_t huge = std::size_t{1} << 21;
    const auto first = (reinterpret_cast<std::uintptr_t>(memory) + huge - 1) / huge * huge;
    const auto last = reinterpret_cast<std::uintptr_t>(memory) + n * sizeof(T);
    if (last > first + huge) madvise(reinterpret_cast<void *>(first), last - first, MADV_HUGEPAGE);
#endif
    return static_cast<T *>(memory);
  }
  /// Numbers are not set before they are written: clearing 100 MB takes longer than half the transform of it.
  template <class U> void construct(U *place) { ::new (static_cast<void *>(place)) U; }
  template <class U, class... Values> void construct(U *place, Values &&...values)
  {
    ::new (static_cast<void *>(place)) U(std::forward<Values>(values)...);
  }
  void deallocate(T *memory, std::size_t) { ::operator delete(memory, alignment); }
  template <class U> bool operator==(const CacheLineAllocator<U> &) const { return true; }
};

using LaneBuffer = std::vector<double, CacheLineAllocator<double>>;

}  // namespace lpsmd
