#include "core/displacements.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/compensated_sum.h"
#include "core/error.h"
#include "core/simd.h"

namespace lpsmd {

namespace {

constexpr std::size_t lanes = BatchFft::lanes;

// Of frames that a line is laid through; fewer than half of them may be out of line. Few of few frames: the medians
// are not to cost more than a few percent of the transform.
constexpr std::size_t pairs_of_line = 16;
constexpr std::size_t least_pairs_of_line = 5;
constexpr std::size_t frames_per_pair = 200;

// Frames between a request for memory and its use
constexpr std::size_t frames_ahead = 8;

/// The two axes of each product of a tensor.
constexpr std::array<std::array<std::size_t, 2>, tensor_size> tensor_axes{
    {{0, 0}, {1, 1}, {2, 2}, {0, 1}, {0, 2}, {1, 2}}};

inline __attribute__((always_inline)) double sum_of_lanes(const double *x)
{
  double four[4], two[2];
  for (std::size_t l = 0; l < 4; ++l) four[l] = x[l] + x[l + 4];
  for (std::size_t l = 0; l < 2; ++l) two[l] = four[l] + four[l + 2];
  return two[0] + two[1];
}

/// The upper one of two; reorders the values.
double median(std::span<double> values)
{
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

double total_of(std::span<const double> weights)
{
  CompensatedSum total;
  for (const double weight : weights) total.add(weight);
  return total.value();
}

/// sums[slot] += coefficients (now - start - common), [n, 3] of each, 16 atoms at a time.
LPSMD_CLONES void add_weighted(const double *now, const double *start, const double *common, const double *coefficients,
                               std::size_t n_numbers, double *sums)
{
  std::size_t at = 0;
  for (; at + batch_point <= n_numbers; at += batch_point) {
    LPSMD_INDEPENDENT
    for (std::size_t slot = 0; slot < batch_point; ++slot)
      sums[slot] += coefficients[at + slot] * ((now[at + slot] - start[at + slot]) - common[slot]);
  }
  for (std::size_t slot = 0; at + slot < n_numbers; ++slot)
    sums[slot] += coefficients[at + slot] * ((now[at + slot] - start[at + slot]) - common[slot]);
}

/// [F, 3] sum of coefficient times displacement since the first frame, less the displacement of atom `origin`.
///
/// Where the whole moves far, what is left is small: nothing is lost when it is summed. Without origin (at n_atoms)
/// displacements are taken as they are.
std::vector<double> weighted_displacement(std::span<const double> positions, std::size_t n_frames,
                                          std::span<const double> coefficients, std::size_t origin)
{
  const std::size_t n_numbers = 3 * coefficients.size();
  std::vector<double> each(n_numbers), result(3 * n_frames, 0.0);
  for (std::size_t i = 0; i < n_numbers; ++i) each[i] = coefficients[i / 3];
  for (std::size_t t = 1; t < n_frames; ++t) {
    const double *const now = positions.data() + t * n_numbers;
    BatchPoint common{}, sums{};
    if (origin < coefficients.size())
      for (std::size_t slot = 0; slot < batch_point; ++slot)
        common[slot] = now[3 * origin + slot % 3] - positions[3 * origin + slot % 3];
    add_weighted(now, positions.data(), common.data(), each.data(), n_numbers, sums.data());
    std::array<CompensatedSum, 3> all;
    for (std::size_t slot = 0; slot < batch_point; ++slot) all[slot % 3].add(sums[slot]);
    for (std::size_t k = 0; k < 3; ++k) result[3 * t + k] = all[k].value();
  }
  return result;
}

/// The first atom with a weight.
std::size_t first_of(std::span<const double> weights)
{
  const auto found = std::find_if(weights.begin(), weights.end(), [](double weight) { return weight != 0.0; });
  return static_cast<std::size_t>(found - weights.begin());
}

/// [F, 3] weighted mean displacement since the first frame.
std::vector<double> mean_displacement(std::span<const double> positions, std::size_t n_frames,
                                      std::span<const double> weights)
{
  const std::size_t n_atoms = weights.size(), origin = first_of(weights);
  std::vector<double> drift = weighted_displacement(positions, n_frames, weights, origin);
  const double total = total_of(weights);
  for (std::size_t t = 1; t < n_frames; ++t)
    for (std::size_t k = 0; k < 3; ++k)
      drift[3 * t + k] =
          drift[3 * t + k] / total + (positions[(t * n_atoms + origin) * 3 + k] - positions[3 * origin + k]);
  return drift;
}

/// Whether a number among x is infinite or not a number; without a branch, since there hardly ever is one.
LPSMD_CLONES bool any_not_finite(const double *x, std::size_t n)
{
  std::size_t bad = 0;
  for (std::size_t i = 0; i < n; ++i) bad |= !(std::abs(x[i]) <= std::numeric_limits<double>::max());
  return bad != 0;
}

LPSMD_CLONES void add_chunk_products(const double *early, const double *late, std::size_t n_points, double *sums)
{
  double acc[tensor_size][lanes] = {};
  for (std::size_t t = 0; t < n_points; ++t, early += batch_point, late += batch_point) {
    for (std::size_t half = 0; half < batch_atoms; half += lanes) {
      for (std::size_t l = 0; l < lanes; ++l) {
        const std::size_t x = half + l, y = x + batch_atoms, z = y + batch_atoms;
        const double dx = late[x] - early[x];
        const double dy = late[y] - early[y];
        const double dz = late[z] - early[z];
        acc[0][l] += dx * dx;
        acc[1][l] += dy * dy;
        acc[2][l] += dz * dz;
        acc[3][l] += dx * dy;
        acc[4][l] += dx * dz;
        acc[5][l] += dy * dz;
      }
    }
  }
  for (std::size_t c = 0; c < tensor_size; ++c) sums[c] += sum_of_lanes(acc[c]);
}

LPSMD_CLONES double sum_chunk_quartics(const double *early, const double *late, std::size_t n_points)
{
  double acc[lanes] = {};
  for (std::size_t t = 0; t < n_points; ++t, early += batch_point, late += batch_point) {
    for (std::size_t half = 0; half < batch_atoms; half += lanes) {
      for (std::size_t l = 0; l < lanes; ++l) {
        const std::size_t x = half + l, y = x + batch_atoms, z = y + batch_atoms;
        const double dx = late[x] - early[x];
        const double dy = late[y] - early[y];
        const double dz = late[z] - early[z];
        const double square = dx * dx + dy * dy + dz * dz;
        acc[l] += square * square;
      }
    }
  }
  return sum_of_lanes(acc);
}

LPSMD_CLONES void detrend(double *x, std::size_t first, std::size_t n_points, const double *slope, const double *offset)
{
  for (std::size_t t = first; t < first + n_points; ++t, x += batch_point) {
    const auto time = static_cast<double>(t);
    LPSMD_INDEPENDENT
    for (std::size_t slot = 0; slot < batch_point; ++slot) x[slot] = (x[slot] - slope[slot] * time) - offset[slot];
  }
}

LPSMD_CLONES void point_products(const double *x, std::size_t n_points, double *products)
{
  for (std::size_t t = 0; t < n_points; ++t, x += batch_point, products += tensor_size) {
    for (std::size_t c = 0; c < tensor_size; ++c) {
      const double *const a = x + tensor_axes[c][0] * batch_atoms;
      const double *const b = x + tensor_axes[c][1] * batch_atoms;
      double both[lanes];
      for (std::size_t l = 0; l < lanes; ++l) both[l] = a[l] * b[l] + a[l + lanes] * b[l + lanes];
      products[c] += sum_of_lanes(both);
    }
  }
}

LPSMD_CLONES void trend_products(const double *x, std::size_t n_points, const double *trend, double *products)
{
  for (std::size_t t = 0; t < n_points; ++t, x += batch_point, products += tensor_size) {
    for (std::size_t c = 0; c < tensor_size; ++c) {
      const std::size_t a = tensor_axes[c][0] * batch_atoms, b = tensor_axes[c][1] * batch_atoms;
      double both[lanes];
      for (std::size_t l = 0; l < lanes; ++l)
        both[l] = (trend[a + l] * x[b + l] + trend[b + l] * x[a + l]) +
                  (trend[a + l + lanes] * x[b + l + lanes] + trend[b + l + lanes] * x[a + l + lanes]);
      products[c] += sum_of_lanes(both);
    }
  }
}

}  // namespace

void check_frames(std::span<const double> positions, std::size_t n_atoms)
{
  if (n_atoms == 0 || positions.empty() || positions.size() % (3 * n_atoms) != 0)
    throw Error("found " + std::to_string(positions.size()) + " coordinates, whole frames of " +
                std::to_string(n_atoms) + " atoms are needed");
}

void check_finite(std::span<const double> positions, std::size_t n_atoms, std::size_t first_frame)
{
  if (!any_not_finite(positions.data(), positions.size())) return;
  for (std::size_t i = 0; i < positions.size(); ++i)
    if (!std::isfinite(positions[i]))
      throw Error("frame " + std::to_string(first_frame + i / (3 * n_atoms)) + ", atom " +
                  std::to_string(i / 3 % n_atoms) + " (both counted from 0): coordinate " + "xyz"[i % 3] + " is " +
                  std::to_string(positions[i]) + ", finite numbers are needed: the run has blown up, or the " +
                  "positions were never set");
}

void check_selection(std::span<const std::int64_t> selection, std::size_t n_atoms)
{
  if (selection.empty()) throw Error("no atom is selected, at least one is needed");
  for (const std::int64_t atom : selection)
    if (atom < 0 || static_cast<std::uint64_t>(atom) >= n_atoms)
      throw Error("selected atom " + std::to_string(atom) + " is outside 0 .. " + std::to_string(n_atoms - 1));
}

void check_drift_weights(std::span<const double> weights, std::size_t n_atoms)
{
  if (weights.empty()) return;
  if (weights.size() != n_atoms)
    throw Error("found " + std::to_string(weights.size()) + " drift weights, one for each of the " +
                std::to_string(n_atoms) + " atoms is needed");
  double total = 0.0;
  for (const double weight : weights) {
    if (!std::isfinite(weight) || weight < 0.0)
      throw Error("a drift weight is " + std::to_string(weight) + ", finite and not negative is needed: give masses");
    total += weight;
  }
  if (!(total > 0.0))
    throw Error(
        "all drift weights are zero, at least one atom of the reference is needed: leave the weights empty "
        "for no drift correction");
}

void check_charges(std::span<const double> charges, std::size_t n_atoms)
{
  if (charges.size() != n_atoms)
    throw Error("found " + std::to_string(charges.size()) + " charges, one for each of the " + std::to_string(n_atoms) +
                " atoms is needed");
  bool any = false;
  for (const double charge : charges) {
    if (!std::isfinite(charge)) throw Error("a charge is " + std::to_string(charge) + ", a finite number is needed");
    any = any || charge != 0.0;
  }
  if (!any) throw Error("all charges are zero, at least one that is not is needed for a collective displacement");
}

Displacements::Displacements(std::span<const double> positions, std::size_t n_atoms,
                             std::span<const std::int64_t> selection, std::span<const double> drift_weights) :
    positions_(positions),
    n_atoms_(n_atoms),
    n_frames_(0),
    selection_(selection)
{
  check_frames(positions, n_atoms);
  check_selection(selection, n_atoms);
  check_drift_weights(drift_weights, n_atoms);
  check_finite(positions, n_atoms, 0);
  n_frames_ = positions.size() / (3 * n_atoms);
  drift_ = drift_weights.empty() ? std::vector<double>(3 * n_frames_, 0.0)
                                 : mean_displacement(positions, n_frames_, drift_weights);
}

Line Displacements::line(std::size_t batch, const FrameGrid &grid) const
{
  Line line;
  const std::size_t half = n_frames_ / 2;
  const std::size_t n_pairs =
      std::min(half, std::clamp(n_frames_ / frames_per_pair, least_pairs_of_line, pairs_of_line));
  if (n_pairs == 0) return line;
  // pairs of frames half the trajectory apart, the first frame of each beside the last of each
  std::array<std::size_t, 2 * pairs_of_line> frames;
  for (std::size_t i = 0; i < n_pairs; ++i) {
    frames[i] = i * half / n_pairs;
    frames[n_pairs + i] = frames[i] + (n_frames_ - half);
  }
  std::array<double, 2 * pairs_of_line> times{};
  for (std::size_t i = 0; i < 2 * n_pairs; ++i) {
    const auto run =
        std::upper_bound(grid.runs().begin(), grid.runs().end(), frames[i],
                         [](std::size_t frame, const FrameGrid::Run &next) { return frame < next.frame; }) -
        1;
    times[i] = static_cast<double>(run->place + (frames[i] - run->frame));
  }
  std::array<double, 2 * pairs_of_line> x, rest;
  std::array<double, pairs_of_line> slopes;
  const std::size_t first_atom = batch * batch_atoms;
  for (std::size_t a = 0; a < std::min(batch_atoms, selection_.size() - first_atom); ++a) {
    const std::size_t at = 3 * static_cast<std::size_t>(selection_[first_atom + a]);
    for (std::size_t k = 0; k < 3; ++k) {
      for (std::size_t i = 0; i < 2 * n_pairs; ++i)
        x[i] = positions_[frames[i] * 3 * n_atoms_ + at + k] - positions_[at + k] - drift_[3 * frames[i] + k];
      for (std::size_t i = 0; i < n_pairs; ++i) slopes[i] = (x[n_pairs + i] - x[i]) / (times[n_pairs + i] - times[i]);
      const double slope = static_cast<float>(median({slopes.data(), n_pairs}));
      if (!std::isfinite(slope)) continue;
      for (std::size_t i = 0; i < 2 * n_pairs; ++i) rest[i] = x[i] - slope * times[i];
      line.slope[k * batch_atoms + a] = slope;
      line.offset[k * batch_atoms + a] = median({rest.data(), 2 * n_pairs});
    }
  }
  return line;
}

void Displacements::load(std::size_t batch, std::size_t first, std::size_t last, double *out, std::size_t stride) const
{
  const std::size_t first_atom = batch * batch_atoms;
  const std::size_t n_here = std::min(batch_atoms, selection_.size() - first_atom);
  std::array<std::size_t, batch_atoms> at{};
  BatchPoint start{};
  for (std::size_t a = 0; a < n_here; ++a) {
    at[a] = 3 * static_cast<std::size_t>(selection_[first_atom + a]);
    for (std::size_t k = 0; k < 3; ++k) start[k * batch_atoms + a] = positions_[at[a] + k];
  }
  for (std::size_t t = first; t < last; ++t, out += stride) {
    const double *const frame = positions_.data() + t * 3 * n_atoms_;
#if defined(__GNUC__)
    // a few atoms of each frame are a pattern that the processor does not foresee
    if (t + frames_ahead < n_frames_)
      for (std::size_t a = 0; a < n_here; a += 2) __builtin_prefetch(frame + frames_ahead * 3 * n_atoms_ + at[a]);
#endif
    if (n_here < batch_atoms) std::fill(out, out + batch_point, 0.0);
    for (std::size_t a = 0; a < n_here; ++a) {
      for (std::size_t k = 0; k < 3; ++k) {
        const std::size_t slot = k * batch_atoms + a;
        out[slot] = frame[at[a] + k] - start[slot] - drift_[3 * t + k];
      }
    }
  }
}

std::vector<double> charge_displacement(std::span<const double> positions, std::span<const double> charges,
                                        std::span<const double> drift_weights)
{
  const std::size_t n_atoms = charges.size();
  const std::size_t n_frames = positions.size() / (3 * n_atoms);
  // where coefficients add up to zero, any origin will do
  const double total = total_of(charges);
  if (drift_weights.empty())
    return weighted_displacement(positions, n_frames, charges, total == 0.0 ? first_of(charges) : n_atoms);
  // sum_i q_i (u_i - sum_j w_j u_j / W) in one sum
  const double charge_of_weight = total / total_of(drift_weights);
  std::vector<double> coefficients(n_atoms);
  for (std::size_t i = 0; i < n_atoms; ++i) coefficients[i] = charges[i] - charge_of_weight * drift_weights[i];
  return weighted_displacement(positions, n_frames, coefficients, first_of(drift_weights));
}

void add_window_products(const double *early, const double *late, std::size_t n_points, Tensor &sums)
{
  for (std::size_t t = 0; t < n_points; t += window_chunk)
    add_chunk_products(early + t * batch_point, late + t * batch_point, std::min(window_chunk, n_points - t),
                       sums.data());
}

double sum_window_quartics(const double *early, const double *late, std::size_t n_points)
{
  double sum = 0.0;
  for (std::size_t t = 0; t < n_points; t += window_chunk)
    sum += sum_chunk_quartics(early + t * batch_point, late + t * batch_point, std::min(window_chunk, n_points - t));
  return sum;
}

void subtract_line(double *x, std::size_t first, std::size_t n_points, const Line &line)
{
  detrend(x, first, n_points, line.slope.data(), line.offset.data());
}

void add_point_products(const double *x, std::size_t n_points, double *products)
{
  point_products(x, n_points, products);
}

void add_trend_products(const double *x, std::size_t n_points, const BatchPoint &trend, double *products)
{
  trend_products(x, n_points, trend.data(), products);
}

}  // namespace lpsmd
