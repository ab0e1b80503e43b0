#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/displacements.h"
#include "core/msd.h"

namespace lpsmd {

/// Mean squared displacements of trajectories that do not fit into memory: frames come in blocks, once, in order.
///
/// Level l looks at every 2^l-th frame, keeps the last `points` of them, and covers the lags j 2^l: j = 1 .. points - 1
/// at level 0, points / 2 .. points - 1 above. Displacements are exact differences (nothing is averaged, unlike the
/// multiple-tau correlator); long lags have fewer origins, 2^l frames apart, which overlap anyway. The algorithm
/// is the order-n one of Dubbeldam et al. 2009 (doi:10.1080/08927020902818039) with exact differences.
///
/// A value: a copy is a checkpoint, with everything that is needed to go on.
class StreamingMsd {
 public:
  struct Options {
    std::size_t n_atoms = 0;
    std::int64_t frame_interval = 0;      ///< integrator steps between frames
    std::int64_t longest_lag = 0;         ///< in integrator steps; the levels are as many as it takes
    std::size_t points = 0;               ///< kept at each level, even, at least 2
    std::vector<std::int64_t> selection;  ///< atoms to follow; empty with charges
    std::vector<double> charges;          ///< [n_atoms] for the collective displacement in place of single atoms
    std::vector<double> drift_weights;    ///< [n_atoms] or empty, as in MsdAccumulator::add
    bool operator==(const Options &) const = default;
  };

  /// All that changes while frames come.
  struct State {
    std::int64_t n_frames = 0;
    std::int64_t last_timestep = 0;
    std::vector<double> first_frame;    ///< [n_atoms, 3]
    std::vector<double> rings;          ///< [levels, points, batches, 48]
    std::vector<double> sums;           ///< [L, 6]
    std::vector<double> rests;          ///< [L, 6] what rounding has taken from the sums
    std::vector<std::int64_t> windows;  ///< [L]
    std::vector<double> quartics;       ///< [L]
    bool operator==(const State &) const = default;
  };

  explicit StreamingMsd(Options options);
  StreamingMsd(Options options, State state);

  /// Take in the next frames: [F, n_atoms, 3] and [F]. The way they are cut into blocks changes no bit.
  void push(std::span<const double> positions, std::span<const std::int64_t> timesteps);

  /// What the frames up to now give.
  MsdAccumulator result() const;

  bool operator==(const StreamingMsd &) const = default;

  const Options &options() const { return options_; }
  const State &state() const { return state_; }
  std::span<const std::int64_t> lag_steps() const { return lag_steps_; }
  std::int64_t n_frames() const { return state_.n_frames; }
  /// Memory held, whatever the number of frames
  std::size_t memory_bytes() const;

 private:
  /// A lag of one level: how many of its points back, and its place in the result.
  struct LevelLag {
    std::size_t points_back;
    std::size_t place;
    bool operator==(const LevelLag &) const = default;
  };

  void plan();
  void check_next(std::span<const std::int64_t> timesteps) const;
  void take(const double *frame);
  void add_window(const double *early, const double *late, std::size_t place);
  std::size_t ring_row() const { return n_batches_ * batch_point; }
  double *ring_point(std::size_t level, std::int64_t index);

  Options options_;
  State state_;
  // follow from the options
  std::size_t n_batches_ = 0;
  std::vector<std::int64_t> lag_steps_;
  std::vector<std::vector<LevelLag>> levels_;
  std::vector<bool> quartic_wanted_;
};

}  // namespace lpsmd
