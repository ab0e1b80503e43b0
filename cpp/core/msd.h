#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace lpsmd {

/// Sums of squared displacements over all time origins and atoms, for frame lags 0 .. n_lags - 1.
///
/// A value: copyable, comparable, and mergeable over replicas and over atoms. Merging the accumulators of
/// consecutive pieces of one trajectory is allowed but loses the origins whose windows cross the seam.
class MsdAccumulator {
 public:
  /// @param n_lags          lags kept, the zero lag counted
  /// @param frame_interval  integrator steps between frames; only equal ones merge
  MsdAccumulator(std::size_t n_lags, std::int64_t frame_interval);

  /// Restore a stored state: sums [n_lags, 3], counts [n_lags].
  MsdAccumulator(std::int64_t frame_interval, std::vector<double> sums, std::vector<std::int64_t> counts);

  /// Add every window of one trajectory.
  ///
  /// The mean displacement since the first frame, weighted by `drift_weights`, is taken off first.
  /// @param positions      [F, n_atoms, 3] unwrapped, Angstrom; any constant offset costs no digits
  /// @param n_atoms        atoms per frame
  /// @param selection      indices of the atoms whose displacements count
  /// @param drift_weights  [n_atoms] not negative (masses, zero outside the reference); empty for no correction
  void add(std::span<const double> positions, std::size_t n_atoms, std::span<const std::int64_t> selection,
           std::span<const double> drift_weights);

  MsdAccumulator &operator+=(const MsdAccumulator &other);
  bool operator==(const MsdAccumulator &other) const = default;

  std::size_t n_lags() const { return counts_.size(); }
  std::int64_t frame_interval() const { return frame_interval_; }
  /// [n_lags, 3] sums of dx^2, dy^2, dz^2 in Angstrom^2
  std::span<const double> sums() const { return sums_; }
  /// [n_lags] windows times atoms behind each sum
  std::span<const std::int64_t> counts() const { return counts_; }

 private:
  std::int64_t frame_interval_;
  std::vector<double> sums_;
  std::vector<std::int64_t> counts_;
};

}  // namespace lpsmd
