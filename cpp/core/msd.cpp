#include "core/msd.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "core/error.h"

// One build for every machine: the inner loop is compiled twice and the better one taken at load time.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define LPSMD_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define LPSMD_CLONES
#endif

namespace lpsmd {

namespace {

// Lags whose sums stay in vector registers while one pass runs over the time series: 32 fill eight registers of
// AVX2, enough to hide the latency of the additions (five times faster than 16, which gcc keeps in memory)
constexpr std::size_t lag_block = 32;
// Atoms copied out of the frames at a time: whole cache lines of each frame are used
constexpr std::size_t atom_block = 8;

/// sums[k] += sum_t (x[t + first + k] - x[t])^2 for `lag_block` lags, t while the longest of them fits.
LPSMD_CLONES void add_lag_block(const double *x, std::size_t n_origins, std::size_t first, double *sums)
{
  double acc[lag_block] = {};
  for (std::size_t t = 0; t < n_origins; ++t) {
    const double now = x[t];
    const double *const later = x + t + first;
    for (std::size_t k = 0; k < lag_block; ++k) {
      const double step = later[k] - now;
      acc[k] += step * step;
    }
  }
  for (std::size_t k = 0; k < lag_block; ++k) sums[k] += acc[k];
}

/// Add the squared displacements of one coordinate's time series, every origin of every lag.
void add_series(std::span<const double> x, std::span<double> sums)
{
  const std::size_t n_lags = std::min(sums.size(), x.size());
  for (std::size_t first = 0; first < n_lags; first += lag_block) {
    const std::size_t last = std::min(first + lag_block, n_lags);
    std::size_t n_together = 0;
    if (last == first + lag_block) {
      n_together = x.size() - last + 1;
      add_lag_block(x.data(), n_together, first, sums.data() + first);
    }
    // origins from which only the shorter lags of the block fit
    for (std::size_t lag = first; lag < last; ++lag) {
      double sum = 0.0;
      for (std::size_t t = n_together; t + lag < x.size(); ++t) sum += (x[t + lag] - x[t]) * (x[t + lag] - x[t]);
      sums[lag] += sum;
    }
  }
}

/// [F, 3] weighted mean displacement since the first frame.
std::vector<double> mean_displacement(std::span<const double> positions, std::size_t n_frames,
                                      std::span<const double> weights)
{
  std::vector<double> drift(3 * n_frames, 0.0);
  double total = 0.0;
  for (const double weight : weights) total += weight;
  for (std::size_t t = 1; t < n_frames; ++t) {
    const double *const now = positions.data() + t * 3 * weights.size();
    for (std::size_t i = 0; i < weights.size(); ++i)
      for (std::size_t k = 0; k < 3; ++k) drift[3 * t + k] += weights[i] * (now[3 * i + k] - positions[3 * i + k]);
    for (std::size_t k = 0; k < 3; ++k) drift[3 * t + k] /= total;
  }
  return drift;
}

void check_weights(std::span<const double> weights, std::size_t n_atoms)
{
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

}  // namespace

MsdAccumulator::MsdAccumulator(std::size_t n_lags, std::int64_t frame_interval) :
    MsdAccumulator(frame_interval, std::vector<double>(3 * n_lags, 0.0), std::vector<std::int64_t>(n_lags, 0))
{
}

MsdAccumulator::MsdAccumulator(std::int64_t frame_interval, std::vector<double> sums,
                               std::vector<std::int64_t> counts) :
    frame_interval_(frame_interval),
    sums_(std::move(sums)),
    counts_(std::move(counts))
{
  if (frame_interval < 1)
    throw Error("the frame interval is " + std::to_string(frame_interval) + " steps, at least 1 is needed");
  if (counts_.size() < 2)
    throw Error("found " + std::to_string(counts_.size()) + " lags, at least 2 (zero and one) are needed");
  if (sums_.size() != 3 * counts_.size())
    throw Error("found " + std::to_string(sums_.size()) + " sums for " + std::to_string(counts_.size()) +
                " lags, three for each lag are needed");
}

void MsdAccumulator::add(std::span<const double> positions, std::size_t n_atoms,
                         std::span<const std::int64_t> selection, std::span<const double> drift_weights)
{
  const std::size_t frame_size = 3 * n_atoms;
  if (frame_size == 0 || positions.empty() || positions.size() % frame_size != 0)
    throw Error("found " + std::to_string(positions.size()) + " coordinates, whole frames of " +
                std::to_string(n_atoms) + " atoms are needed");
  if (selection.empty()) throw Error("no atom is selected, at least one is needed");
  for (const std::int64_t atom : selection)
    if (atom < 0 || static_cast<std::uint64_t>(atom) >= n_atoms)
      throw Error("selected atom " + std::to_string(atom) + " is outside 0 .. " + std::to_string(n_atoms - 1));
  if (!drift_weights.empty()) check_weights(drift_weights, n_atoms);

  const std::size_t n_frames = positions.size() / frame_size;
  const std::vector<double> drift = drift_weights.empty() ? std::vector<double>(3 * n_frames, 0.0)
                                                          : mean_displacement(positions, n_frames, drift_weights);
  // summed apart first, so that adding to a filled accumulator rounds as merging does
  MsdAccumulator part(n_lags(), frame_interval_);
  std::array<std::vector<double>, 3> sums;
  for (auto &axis : sums) axis.assign(n_lags(), 0.0);
  std::vector<double> series(3 * atom_block * n_frames);
  for (std::size_t first = 0; first < selection.size(); first += atom_block) {
    const std::size_t n_here = std::min(atom_block, selection.size() - first);
    for (std::size_t t = 0; t < n_frames; ++t) {
      for (std::size_t a = 0; a < n_here; ++a) {
        const std::size_t at = 3 * static_cast<std::size_t>(selection[first + a]);
        for (std::size_t k = 0; k < 3; ++k)
          series[(3 * a + k) * n_frames + t] =
              positions[t * frame_size + at + k] - positions[at + k] - drift[3 * t + k];
      }
    }
    for (std::size_t s = 0; s < 3 * n_here; ++s) add_series({series.data() + s * n_frames, n_frames}, sums[s % 3]);
  }
  for (std::size_t lag = 0; lag < n_lags(); ++lag) {
    for (std::size_t k = 0; k < 3; ++k) part.sums_[3 * lag + k] = sums[k][lag];
    part.counts_[lag] = lag < n_frames ? static_cast<std::int64_t>((n_frames - lag) * selection.size()) : 0;
  }
  *this += part;
}

MsdAccumulator &MsdAccumulator::operator+=(const MsdAccumulator &other)
{
  if (other.n_lags() != n_lags())
    throw Error("cannot merge MSDs of " + std::to_string(n_lags()) + " and " + std::to_string(other.n_lags()) +
                " lags; equal numbers are needed: analyse all replicas with one length");
  if (other.frame_interval_ != frame_interval_)
    throw Error("cannot merge MSDs with frames every " + std::to_string(frame_interval_) + " and every " +
                std::to_string(other.frame_interval_) + " steps; equal intervals are needed");
  for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += other.sums_[i];
  for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  return *this;
}

}  // namespace lpsmd
