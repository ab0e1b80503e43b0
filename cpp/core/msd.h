#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace lpsmd {

/// Whose displacements are summed up: nobody's yet, those of single atoms, or a sum over atoms.
enum class Population : std::int64_t { none = 0, atoms = 1, collective = 2 };

/// Sums of products of displacements over all time origins and atoms, for a list of lags.
///
/// A value: copyable, comparable, and mergeable over replicas and over atoms. Merging the accumulators of
/// consecutive pieces of one trajectory is allowed but loses the origins whose windows cross the seam.
/// Sums of single atoms and of a collective displacement belong into two accumulators, since their counts differ; one
/// refuses the other. Not to be filled or merged by several threads at once.
class MsdAccumulator {
 public:
  /// @param lag_steps  [L] lags in integrator steps, ascending, the first 0; only equal ones merge
  explicit MsdAccumulator(std::vector<std::int64_t> lag_steps);

  /// Restore a stored state: sums [L, 6], counts [L], quartic_sums [L], quartic_counts [L].
  /// @throws Error where these do not fit each other
  MsdAccumulator(std::vector<std::int64_t> lag_steps, std::vector<double> sums, std::vector<std::int64_t> counts,
                 std::vector<double> quartic_sums, std::vector<std::int64_t> quartic_counts, Population population);

  /// Add every window of one trajectory, every selected atom.
  ///
  /// The mean displacement since the first frame, weighted by `drift_weights`, is taken off first. Frames on equally
  /// spaced places, of which up to half may be empty, go through the Fourier transform; lags at which its rounding
  /// could show, few frames and other spacings are summed pair by pair, in a time that grows as the square of their
  /// number.
  /// @param positions      [F, n_atoms, 3] unwrapped, Angstrom; any constant offset costs no digits
  /// @param n_atoms        atoms per frame
  /// @param timesteps      [F] ascending
  /// @param selection      indices of the atoms whose displacements count
  /// @param drift_weights  [n_atoms] not negative (masses, zero outside the reference); empty for no correction
  /// @param threads        the atoms are split over; another number may change the last bits, timing does not
  /// @param quartic        also the fourth powers, a third of the time
  /// @param interrupt      asked now and then in the calling thread; what it throws ends the work, nothing is added
  void add(std::span<const double> positions, std::size_t n_atoms, std::span<const std::int64_t> timesteps,
           std::span<const std::int64_t> selection, std::span<const double> drift_weights, std::size_t threads = 1,
           bool quartic = true, const std::function<void()> &interrupt = {});

  /// Add every window of the collective displacement sum_i charges_i u_i, as if it were one atom; no fourth powers.
  ///
  /// @param charges  [n_atoms] 1 on the atoms of a species for its collective motion, charges for the current
  void add_collective(std::span<const double> positions, std::size_t n_atoms, std::span<const std::int64_t> timesteps,
                      std::span<const double> charges, std::span<const double> drift_weights,
                      const std::function<void()> &interrupt = {});

  MsdAccumulator &operator+=(const MsdAccumulator &other);
  bool operator==(const MsdAccumulator &other) const = default;

  Population population() const { return population_; }
  std::size_t n_lags() const { return lag_steps_.size(); }
  /// [L] in integrator steps
  std::span<const std::int64_t> lag_steps() const { return lag_steps_; }
  /// [L, 6] sums of dx^2, dy^2, dz^2, dx dy, dx dz, dy dz in Angstrom^2
  std::span<const double> sums() const { return sums_; }
  /// [L] windows times atoms behind each sum
  std::span<const std::int64_t> counts() const { return counts_; }
  /// [L] sums of |dr|^4 in Angstrom^4, at the lags of `log_spaced` only, zero elsewhere
  std::span<const double> quartic_sums() const { return quartic_sums_; }
  /// [L] windows times atoms behind each, 0 where it is not evaluated
  std::span<const std::int64_t> quartic_counts() const { return quartic_counts_; }

 private:
  void add_series(std::span<const double> positions, std::size_t n_atoms, std::span<const std::int64_t> timesteps,
                  std::span<const std::int64_t> selection, std::span<const double> drift_weights, std::size_t threads,
                  bool quartic, Population population, const std::function<void()> &interrupt);
  void check_population(Population other) const;

  std::vector<std::int64_t> lag_steps_;
  std::vector<double> sums_;
  std::vector<std::int64_t> counts_;
  std::vector<double> quartic_sums_;
  std::vector<std::int64_t> quartic_counts_;
  Population population_ = Population::none;
};

/// Ascending ones of n_frames frames, so far from the limits of 64 bits that their differences are safe.
void check_timesteps(std::span<const std::int64_t> timesteps, std::size_t n_frames);

/// All differences of timesteps up to `longest`, ascending from 0.
///
/// Where frames fill at least half of equally spaced places, any number; otherwise 200,000 at most.
std::vector<std::int64_t> lag_steps_of(std::span<const std::int64_t> timesteps, std::int64_t longest);

/// Indices of a subset of lags above zero, about 20 per decade, the shortest among them.
std::vector<std::size_t> log_spaced(std::span<const std::int64_t> lag_steps);

}  // namespace lpsmd
