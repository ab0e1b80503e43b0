#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/fft.h"
#include "core/frame_grid.h"

namespace lpsmd {

/// Atoms side by side in one point of time: two to a complex lane of the transform.
constexpr std::size_t batch_atoms = 2 * BatchFft::lanes;
/// Numbers of one batch at one time: [axis 3][atom 16]; the places past the last atom hold zeros.
constexpr std::size_t batch_point = BatchFft::point;
/// Products of displacements, in this order: xx, yy, zz, xy, xz, yz.
constexpr std::size_t tensor_size = 6;

using BatchPoint = std::array<double, batch_point>;
using Tensor = std::array<double, tensor_size>;

/// offset + slope t, t in places of a grid.
struct Line {
  BatchPoint slope{};  ///< rounded to 24 bits: times a place it is exact
  BatchPoint offset{};
};

/// The chosen atoms of one trajectory, rearranged in batches of 16, without drift and without offset.
class Displacements {
 public:
  /// Checks shapes, indices, weights and that all numbers are finite.
  ///
  /// @param positions      [F, n_atoms, 3] unwrapped, Angstrom; kept as a view
  /// @param selection      indices of the atoms to load; kept as a view
  /// @param drift_weights  [n_atoms] of the reference whose mean displacement is taken off; empty for none
  Displacements(std::span<const double> positions, std::size_t n_atoms, std::span<const std::int64_t> selection,
                std::span<const double> drift_weights);

  std::size_t n_frames() const { return n_frames_; }
  std::size_t n_batches() const { return (selection_.size() + batch_atoms - 1) / batch_atoms; }

  /// The line that each coordinate goes along, from medians of some frames: no few of them can turn or shift it.
  Line line(std::size_t batch, const FrameGrid &grid) const;

  /// Displacements since the first frame, of frames first .. last - 1: one batch_point each `stride` numbers.
  void load(std::size_t batch, std::size_t first, std::size_t last, double *out, std::size_t stride) const;

 private:
  std::span<const double> positions_;
  std::size_t n_atoms_;
  std::size_t n_frames_;
  std::span<const std::int64_t> selection_;
  std::vector<double> drift_;  // [F, 3]
};

/// [F, 3] sum of charge times displacement since the first frame, the drift taken off each.
std::vector<double> charge_displacement(std::span<const double> positions, std::span<const double> charges,
                                        std::span<const double> drift_weights);

void check_frames(std::span<const double> positions, std::size_t n_atoms);
void check_finite(std::span<const double> positions, std::size_t n_atoms, std::size_t first_frame);
void check_selection(std::span<const std::int64_t> selection, std::size_t n_atoms);
void check_drift_weights(std::span<const double> weights, std::size_t n_atoms);
void check_charges(std::span<const double> charges, std::size_t n_atoms);

/// sums += products of d = late - early, summed over n_points batch points and all atoms.
void add_window_products(const double *early, const double *late, std::size_t n_points, Tensor &sums);

/// Sum of |d|^4, d as above.
double sum_window_quartics(const double *early, const double *late, std::size_t n_points);

/// Batch points that a sum over windows takes at a time. A sum of sums rounds less than one long sum, and who sums
/// several lags over the same points finds them in the cache.
constexpr std::size_t window_chunk = 64;

/// x[t] -= slope (first + t) + offset
void subtract_line(double *x, std::size_t first, std::size_t n_points, const Line &line);

/// products[t] += products of x[t] with itself, summed over all atoms; of transforms: Re(z_a conj z_b).
///
/// @param x         [n_points] batch points
/// @param products  [n_points, 6]
void add_point_products(const double *x, std::size_t n_points, double *products);

/// products[t] += trend_a x_b[t] + trend_b x_a[t], summed over all atoms.
void add_trend_products(const double *x, std::size_t n_points, const BatchPoint &trend, double *products);

}  // namespace lpsmd
