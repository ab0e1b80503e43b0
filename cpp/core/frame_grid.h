#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace lpsmd {

/// Frames on equally spaced places in time, some of which may be empty.
class FrameGrid {
 public:
  /// Consecutive places that all have a frame; the first has number `frame`.
  struct Run {
    std::size_t place, n, frame;
    std::size_t end() const { return place + n; }
  };
  /// Consecutive places at which windows begin: there and a lag later there are frames.
  struct Windows {
    std::size_t place, n;
    std::size_t end() const { return place + n; }
  };

  /// The widest grid that has all of ascending timesteps, if at least half of it are frames.
  static std::optional<FrameGrid> of(std::span<const std::int64_t> timesteps);

  /// Steps between places
  std::int64_t interval() const { return interval_; }
  /// Places from the first frame to the last
  std::size_t size() const { return runs_.back().end(); }
  std::span<const Run> runs() const { return runs_; }
  /// Places without a frame
  std::vector<std::size_t> holes() const;

  /// Calls work(Windows) for the windows of a lag in order of time, for as long as it returns true.
  template <class Work> void each_windows(std::size_t lag, const Work &work) const
  {
    for (auto early = runs_.begin(), late = runs_.begin(); early != runs_.end() && late != runs_.end();) {
      const std::size_t first = std::max(early->place + lag, late->place);
      const std::size_t last = std::min(early->end() + lag, late->end());
      if (first < last && !work(Windows{first - lag, last - first})) return;
      if (early->end() + lag < late->end())
        ++early;
      else
        ++late;
    }
  }

  std::size_t n_windows(std::size_t lag) const;

 private:
  std::int64_t interval_ = 1;
  std::vector<Run> runs_;
};

}  // namespace lpsmd
