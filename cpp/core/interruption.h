#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>

#include "core/error.h"

namespace lpsmd {

/// Lets long work in several threads be given up: the caller's thread, part 0, asks now and then.
class Interruption {
 public:
  /// @param check  throws to give up; may be empty
  explicit Interruption(std::function<void()> check) : check_(std::move(check)) {}

  /// Throws what `check` throws in part 0; in other parts an error that comes after it.
  void poll(std::size_t part)
  {
    if (stopped_) throw Error("interrupted");
    if (part != 0 || !check_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now - last_ < std::chrono::milliseconds(50)) return;
    last_ = now;
    try {
      check_();
    } catch (...) {
      stopped_ = true;
      throw;
    }
  }

 private:
  std::function<void()> check_;
  std::atomic<bool> stopped_ = false;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

}  // namespace lpsmd
