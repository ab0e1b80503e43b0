#include "core/frame_grid.h"

#include <numeric>

namespace lpsmd {

std::optional<FrameGrid> FrameGrid::of(std::span<const std::int64_t> timesteps)
{
  FrameGrid grid;
  if (timesteps.empty()) return std::nullopt;
  std::int64_t divisor = 0;
  for (std::size_t t = 1; t < timesteps.size(); ++t) divisor = std::gcd(divisor, timesteps[t] - timesteps[t - 1]);
  if (divisor > 0) grid.interval_ = divisor;
  if (static_cast<std::size_t>((timesteps.back() - timesteps.front()) / grid.interval_) >= 2 * timesteps.size())
    return std::nullopt;
  for (std::size_t t = 0; t < timesteps.size(); ++t) {
    const auto place = static_cast<std::size_t>((timesteps[t] - timesteps.front()) / grid.interval_);
    if (grid.runs_.empty() || place != grid.runs_.back().end()) grid.runs_.push_back({place, 0, t});
    ++grid.runs_.back().n;
  }
  return grid;
}

std::vector<std::size_t> FrameGrid::holes() const
{
  std::vector<std::size_t> holes;
  for (std::size_t i = 1; i < runs_.size(); ++i)
    for (std::size_t place = runs_[i - 1].end(); place < runs_[i].place; ++place) holes.push_back(place);
  return holes;
}

std::size_t FrameGrid::n_windows(std::size_t lag) const
{
  std::size_t n = 0;
  each_windows(lag, [&](const Windows &windows) {
    n += windows.n;
    return true;
  });
  return n;
}

}  // namespace lpsmd
