#include "core/streaming_msd.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/compensated_sum.h"
#include "core/error.h"
#include "core/simd.h"

namespace lpsmd {

namespace {

// What no simulation reaches, but what a unit mistaken does; levels and memory grow with it
constexpr std::int64_t max_lag_frames = std::int64_t{1} << 40;
constexpr std::size_t max_points = std::size_t{1} << 20;

}  // namespace

StreamingMsd::StreamingMsd(Options options) : options_(std::move(options))
{
  plan();
  state_.first_frame.resize(3 * options_.n_atoms);
  state_.rings.resize(levels_.size() * options_.points * ring_row());
  state_.sums.resize(lag_steps_.size() * tensor_size);
  state_.rests.resize(lag_steps_.size() * tensor_size);
  state_.windows.resize(lag_steps_.size());
  state_.quartics.resize(lag_steps_.size());
}

StreamingMsd::StreamingMsd(Options options, State state) : StreamingMsd(std::move(options))
{
  if (state.first_frame.size() != state_.first_frame.size() || state.rings.size() != state_.rings.size() ||
      state.sums.size() != state_.sums.size() || state.rests.size() != state_.rests.size() ||
      state.windows.size() != state_.windows.size() || state.quartics.size() != state_.quartics.size())
    throw Error("a stored StreamingMsd does not fit its own options: it is damaged or of another version");
  state_ = std::move(state);
}

/// Checks the options and lays out levels and lags.
void StreamingMsd::plan()
{
  const Options &o = options_;
  if (o.n_atoms < 1) throw Error("found 0 atoms, at least 1 is needed");
  if (o.frame_interval < 1)
    throw Error("the frame interval is " + std::to_string(o.frame_interval) + " steps, at least 1 is needed");
  if (o.longest_lag < o.frame_interval)
    throw Error("the longest lag is " + std::to_string(o.longest_lag) + " steps, at least one frame interval, " +
                std::to_string(o.frame_interval) + " steps, is needed");
  if (o.longest_lag / o.frame_interval > max_lag_frames)
    throw Error("the longest lag is " + std::to_string(o.longest_lag) + " steps, at most " +
                std::to_string(max_lag_frames) + " times the frame interval, " + std::to_string(o.frame_interval) +
                " steps, is needed: give the longest lag that the trajectory has");
  if (o.points < 2 || o.points % 2 != 0 || o.points > max_points)
    throw Error("found " + std::to_string(o.points) + " points at each level, an even number up to " +
                std::to_string(max_points) + " is needed, as 32");
  if (o.charges.empty() == o.selection.empty())
    throw Error("a selection of atoms or charges are needed, and not both: use one StreamingMsd for each");
  if (o.charges.empty())
    check_selection(o.selection, o.n_atoms);
  else
    check_charges(o.charges, o.n_atoms);
  check_drift_weights(o.drift_weights, o.n_atoms);

  n_batches_ = o.charges.empty() ? (o.selection.size() + batch_atoms - 1) / batch_atoms : 1;
  lag_steps_ = {0};
  const std::int64_t longest = o.longest_lag / o.frame_interval;
  // a level whose first lag is too long has none; the level below has then reached the longest
  for (std::int64_t stride = 1; stride == 1 || longest / stride >= static_cast<std::int64_t>(o.points / 2);
       stride *= 2) {
    auto &level = levels_.emplace_back();
    const auto last = std::min<std::int64_t>(longest / stride, static_cast<std::int64_t>(o.points) - 1);
    for (auto back = stride == 1 ? std::int64_t{1} : static_cast<std::int64_t>(o.points / 2); back <= last; ++back) {
      level.push_back({static_cast<std::size_t>(back), lag_steps_.size()});
      lag_steps_.push_back(back * stride * o.frame_interval);
    }
  }
  quartic_wanted_.assign(lag_steps_.size(), false);
  if (o.charges.empty())
    for (const std::size_t place : log_spaced(lag_steps_)) quartic_wanted_[place] = true;
}

std::size_t StreamingMsd::memory_bytes() const
{
  const auto bytes = [](const auto &values) { return values.size() * sizeof(values[0]); };
  return bytes(state_.first_frame) + bytes(state_.rings) + bytes(state_.sums) + bytes(state_.rests) +
         bytes(state_.windows) + bytes(state_.quartics) + bytes(options_.selection) + bytes(options_.charges) +
         bytes(options_.drift_weights) + bytes(lag_steps_);
}

double *StreamingMsd::ring_point(std::size_t level, std::int64_t index)
{
  const auto points = static_cast<std::int64_t>(options_.points);
  return state_.rings.data() + (level * options_.points + static_cast<std::size_t>(index % points)) * ring_row();
}

void StreamingMsd::check_next(std::span<const std::int64_t> timesteps) const
{
  check_timesteps(timesteps, timesteps.size());
  std::int64_t last = state_.last_timestep;
  for (std::size_t t = 0; t < timesteps.size(); ++t) {
    const bool first = t == 0 && state_.n_frames == 0;
    if (!first && timesteps[t] - last != options_.frame_interval)
      throw Error("frame " + std::to_string(state_.n_frames + static_cast<std::int64_t>(t)) + " is of step " +
                  std::to_string(timesteps[t]) + ", " + std::to_string(last + options_.frame_interval) +
                  " is needed: streaming takes frames every " + std::to_string(options_.frame_interval) +
                  " steps without a gap; read unequally spaced frames as a whole trajectory");
    last = timesteps[t];
  }
}

void StreamingMsd::push(std::span<const double> positions, std::span<const std::int64_t> timesteps)
{
  const std::size_t frame_size = 3 * options_.n_atoms;
  if (positions.size() != timesteps.size() * frame_size)
    throw Error("found " + std::to_string(positions.size()) + " coordinates for " + std::to_string(timesteps.size()) +
                " timesteps, frames of " + std::to_string(options_.n_atoms) + " atoms are needed");
  if (timesteps.empty()) return;
  check_next(timesteps);
  check_finite(positions, options_.n_atoms, static_cast<std::size_t>(state_.n_frames));
  if (state_.n_frames == 0) std::copy_n(positions.begin(), frame_size, state_.first_frame.begin());
  for (std::size_t t = 0; t < timesteps.size(); ++t) take(positions.data() + t * frame_size);
  state_.last_timestep = timesteps.back();
}

void StreamingMsd::take(const double *frame)
{
  // two frames, the first ever and this one, go the way of whole trajectories
  std::vector<double> pair(state_.first_frame);
  pair.insert(pair.end(), frame, frame + state_.first_frame.size());
  LaneBuffer moved(2 * ring_row(), 0.0);
  if (options_.charges.empty()) {
    const Displacements motion(pair, options_.n_atoms, options_.selection, options_.drift_weights);
    for (std::size_t batch = 0; batch < n_batches_; ++batch)
      motion.load(batch, 0, 2, moved.data() + batch * batch_point, ring_row());
  } else {
    const auto sum = charge_displacement(pair, options_.charges, options_.drift_weights);
    for (std::size_t k = 0; k < 3; ++k) moved[ring_row() + k * batch_atoms] = sum[3 + k];
  }
  const double *const now = moved.data() + ring_row();

  const std::int64_t index = state_.n_frames++;
  ++state_.windows[0];
  for (std::size_t level = 0; level < levels_.size(); ++level) {
    const std::int64_t stride = std::int64_t{1} << level;
    if (index % stride != 0) break;
    const std::int64_t point = index / stride;
    for (const LevelLag &lag : levels_[level]) {
      const auto back = static_cast<std::int64_t>(lag.points_back);
      if (back > point) break;
      add_window(ring_point(level, point - back), now, lag.place);
    }
    std::copy_n(now, ring_row(), ring_point(level, point));
  }
}

void StreamingMsd::add_window(const double *early, const double *late, std::size_t place)
{
  Tensor products{};
  add_window_products(early, late, n_batches_, products);
  for (std::size_t c = 0; c < tensor_size; ++c) {
    // the rounding of millions of additions is carried along
    CompensatedSum sum(state_.sums[place * tensor_size + c], state_.rests[place * tensor_size + c]);
    sum.add(products[c]);
    state_.sums[place * tensor_size + c] = sum.sum();
    state_.rests[place * tensor_size + c] = sum.rest();
  }
  if (quartic_wanted_[place]) state_.quartics[place] += sum_window_quartics(early, late, n_batches_);
  ++state_.windows[place];
}

MsdAccumulator StreamingMsd::result() const
{
  const std::size_t n_lags = lag_steps_.size();
  const auto n_followed =
      options_.charges.empty() ? static_cast<std::int64_t>(options_.selection.size()) : std::int64_t{1};
  std::vector<double> sums(state_.sums);
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += state_.rests[i];
  std::vector<std::int64_t> counts(n_lags), quartic_counts(n_lags);
  for (std::size_t i = 0; i < n_lags; ++i) {
    counts[i] = state_.windows[i] * n_followed;
    quartic_counts[i] = quartic_wanted_[i] ? counts[i] : 0;
  }
  return {lag_steps_,
          std::move(sums),
          std::move(counts),
          state_.quartics,
          std::move(quartic_counts),
          options_.charges.empty() ? Population::atoms : Population::collective};
}

}  // namespace lpsmd
