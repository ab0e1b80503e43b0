#include "core/msd.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/compensated_sum.h"
#include "core/displacements.h"
#include "core/error.h"
#include "core/fft.h"
#include "core/frame_grid.h"
#include "core/interruption.h"
#include "core/parallel.h"
#include "core/simd.h"

namespace lpsmd {

namespace {

constexpr std::size_t max_unequal_lags = 200'000;

// More threads than any machine has cores gain nothing
constexpr std::size_t max_threads = 1024;

// So that differences of timesteps, and sums of two of them, fit into 64 bits
constexpr std::int64_t max_timestep = std::int64_t{1} << 61;

// The rounding of the transform is at most this many units in the last place of the whole power, at every lag
// (measured against long doubles: up to 6.5 for 2 to 100,000 frames of walks, vibrations and jumps) ..
constexpr double transform_rounding = 8.0;
// .. and lags at which it could reach this part of the sum are summed pair by pair
constexpr double tolerated_error = 4e-12;
// Pairs of frames that cost as much as one step of the transform on one point (measured)
constexpr double pairs_per_point = 1.5;
// .. and, in place of as many in each batch, as one empty place at one lag (measured)
constexpr double pairs_per_hole = 0.5;

/// What one thread sums up for one lag.
struct LagSum {
  Tensor products{};
  double quartic = 0.0;
};

void add_to(std::span<double> sums, std::span<const double> others)
{
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += others[i];
}

/// Sums over the frames in which the windows of a lag begin and end, from the longest lag down: a lag less is a
/// frame more at either end, so that no large sums are subtracted from each other.
class EdgeSums {
 public:
  /// @param products  [F, 6] u_a u_b
  /// @param crossed   [F, 6] trend_a u_b + trend_b u_a
  EdgeSums(std::span<const double> products, std::span<const double> crossed) :
      products_(products),
      crossed_products_(crossed),
      n_frames_(products.size() / tensor_size),
      lag_(n_frames_)
  {
  }

  void shorten_to(std::size_t lag)
  {
    for (; lag_ > lag; --lag_) {
      const std::size_t end = (lag_ - 1) * tensor_size;
      const std::size_t begin = (n_frames_ - lag_) * tensor_size;
      for (std::size_t c = 0; c < tensor_size; ++c) {
        squares_[c].add(products_[end + c]);
        squares_[c].add(products_[begin + c]);
        crossed_[c].add(crossed_products_[end + c]);
        crossed_[c].add(-crossed_products_[begin + c]);
      }
    }
  }

  /// sum_t u_a(t + m) u_b(t + m) + u_a(t) u_b(t)
  double squares(std::size_t c) const { return squares_[c].value(); }
  /// sum_t of the crossed products at t + m less those at t
  double crossed(std::size_t c) const { return crossed_[c].value(); }

 private:
  std::span<const double> products_, crossed_products_;
  std::size_t n_frames_, lag_;
  std::array<CompensatedSum, tensor_size> squares_, crossed_;
};

/// A lag that is wanted: its place in the result, its length in places of the grid, its windows.
struct Lag {
  std::size_t place;
  std::size_t length;
  std::size_t n_windows;
};

/// Sums of the windows of frames on a grid: parts per thread, put together in order. Empty places count as zeros in
/// the transform; the sums over the ends of windows leave out those whose other end is empty.
class GridSums {
 public:
  GridSums(const Displacements &motion, const FrameGrid &grid, std::span<const Lag> lags,
           std::span<const Lag> quartic_lags, std::size_t threads, Interruption &interruption) :
      motion_(motion),
      grid_(grid),
      holes_(grid.holes()),
      lags_(lags),
      quartic_lags_(quartic_lags),
      threads_(threads),
      n_parts_(parts_of(motion.n_batches(), threads)),
      interruption_(interruption)
  {
    for (const Lag &lag : quartic_lags_) {
      auto &windows = quartic_windows_.emplace_back();
      grid_.each_windows(lag.length, [&](const FrameGrid::Windows &next) {
        windows.push_back(next);
        return true;
      });
    }
  }

  /// sums[place], for all wanted lags.
  void run(std::span<LagSum> sums) const
  {
    if (few_pairs()) {
      add_directly(lags_, sums);
      add_quartics(sums);
      return;
    }
    add_directly(by_transform(sums), sums);
  }

 private:
  /// Sums over the batches of one thread that the transform needs.
  struct Part {
    std::vector<double> products;  // [places, 6] of u_a u_b, over atoms
    std::vector<double> crossed;   // [places, 6] of trend_a u_b + trend_b u_a
    std::vector<double> spectrum;  // [size, 6] of Re(z_a conj z_b)
    Tensor trends{};               // of trend_a trend_b
    std::vector<double> quartics;  // [Q]
  };

  /// Of the ends of windows whose other end is empty.
  struct Beside {
    Tensor squares{}, crossed{};
  };

  bool few_pairs() const
  {
    double pairs = 0.0;
    for (const Lag &lag : lags_) pairs += static_cast<double>(lag.n_windows);
    const double points = static_cast<double>(grid_.size() + lags_.back().length);
    const double beside = static_cast<double>(holes_.size() * lags_.size()) / static_cast<double>(motion_.n_batches());
    return pairs < pairs_per_point * points * std::log2(points) + pairs_per_hole * beside;
  }

  /// Calls work(place, n, frame) for the frames at places first .. last - 1, in stretches.
  template <class Work> void each_run(std::size_t first, std::size_t last, const Work &work) const
  {
    const auto runs = grid_.runs();
    auto run = std::upper_bound(runs.begin(), runs.end(), first,
                                [](std::size_t place, const FrameGrid::Run &next) { return place < next.end(); });
    for (; run != runs.end() && run->place < last; ++run) {
      const std::size_t from = std::max(first, run->place);
      work(from, std::min(last, run->end()) - from, run->frame + (from - run->place));
    }
  }

  /// Displacements at places first .. last - 1, zeros where there is no frame.
  void load(std::size_t batch, std::size_t first, std::size_t last, double *out) const
  {
    if (!holes_.empty()) std::fill(out, out + (last - first) * batch_point, 0.0);
    each_run(first, last, [&](std::size_t place, std::size_t n, std::size_t frame) {
      motion_.load(batch, frame, frame + n, out + (place - first) * batch_point, batch_point);
    });
  }

  void add_directly(std::span<const Lag> lags, std::span<LagSum> sums) const
  {
    if (lags.empty()) return;
    std::vector<std::vector<Tensor>> parts(n_parts_, std::vector<Tensor>(lags.size()));
    for_each_part(motion_.n_batches(), n_parts_, [&](std::size_t part, std::size_t first, std::size_t last) {
      LaneBuffer x(grid_.size() * batch_point);
      for (std::size_t batch = first; batch < last; ++batch) {
        load(batch, 0, grid_.size(), x.data());
        for (std::size_t i = 0; i < lags.size(); ++i) {
          interruption_.poll(part);
          grid_.each_windows(lags[i].length, [&](const FrameGrid::Windows &windows) {
            const double *const early = x.data() + windows.place * batch_point;
            add_window_products(early, early + lags[i].length * batch_point, windows.n, parts[part][i]);
            return true;
          });
        }
      }
    });
    for (std::size_t i = 0; i < lags.size(); ++i) {
      sums[lags[i].place].products = {};
      for (const auto &part : parts) add_to(sums[lags[i].place].products, part[i]);
    }
  }

  void add_batch_quartics(const double *x, std::span<double> quartics) const
  {
    // all lags of a stretch of time before the next stretch: it stays in the cache, with the short lags' ends
    std::vector<std::size_t> next(quartic_lags_.size(), 0);
    for (std::size_t t = 0; t < grid_.size(); t += window_chunk) {
      for (std::size_t i = 0; i < quartic_lags_.size(); ++i) {
        const auto &windows = quartic_windows_[i];
        for (; next[i] < windows.size() && windows[next[i]].place < t + window_chunk; ++next[i]) {
          const std::size_t first = std::max(t, windows[next[i]].place);
          const std::size_t last = std::min(t + window_chunk, windows[next[i]].end());
          const double *const early = x + first * batch_point;
          if (first < last)
            quartics[i] += sum_window_quartics(early, early + quartic_lags_[i].length * batch_point, last - first);
          if (windows[next[i]].end() > t + window_chunk) break;
        }
      }
    }
  }

  void add_quartics(std::span<LagSum> sums) const
  {
    if (quartic_lags_.empty()) return;
    std::vector<std::vector<double>> parts(n_parts_, std::vector<double>(quartic_lags_.size()));
    for_each_part(motion_.n_batches(), n_parts_, [&](std::size_t part, std::size_t first, std::size_t last) {
      LaneBuffer x(grid_.size() * batch_point);
      for (std::size_t batch = first; batch < last; ++batch) {
        interruption_.poll(part);
        load(batch, 0, grid_.size(), x.data());
        add_batch_quartics(x.data(), parts[part]);
      }
    });
    for (const auto &part : parts)
      for (std::size_t i = 0; i < part.size(); ++i) sums[quartic_lags_[i].place].quartic += part[i];
  }

  /// Fills all lags; returns those that rounding may have reached.
  std::vector<Lag> by_transform(std::span<LagSum> sums) const
  {
    const BatchFft fft(grid_.size() + lags_.back().length);
    std::vector<Part> parts(n_parts_);
    for_each_part(motion_.n_batches(), n_parts_, [&](std::size_t part, std::size_t first, std::size_t last) {
      parts[part] = sum_batches(fft, part, first, last);
    });
    Part &all = parts.front();
    for (std::size_t part = 1; part < parts.size(); ++part) {
      add_to(all.products, parts[part].products);
      add_to(all.crossed, parts[part].crossed);
      add_to(all.spectrum, parts[part].spectrum);
      add_to(all.trends, parts[part].trends);
      add_to(all.quartics, parts[part].quartics);
    }
    for (std::size_t i = 0; i < quartic_lags_.size(); ++i) sums[quartic_lags_[i].place].quartic += all.quartics[i];
    return assemble(all, correlations(fft, all.spectrum), sums);
  }

  Part sum_batches(const BatchFft &fft, std::size_t part_number, std::size_t first, std::size_t last) const
  {
    const std::size_t size = grid_.size();
    Part part;
    part.products.resize(size * tensor_size);
    part.crossed.resize(size * tensor_size);
    part.spectrum.resize(fft.size() * tensor_size);
    part.quartics.resize(quartic_lags_.size());
    LaneBuffer x(fft.size() * batch_point);
    for (std::size_t batch = first; batch < last; ++batch) {
      interruption_.poll(part_number);
      const Line line = motion_.line(batch, grid_);
      add_point_products(line.slope.data(), 1, part.trends.data());
      const bool load_all = !quartic_lags_.empty();
      if (load_all) {
        load(batch, 0, size, x.data());
        add_batch_quartics(x.data(), part.quartics);
      }
      // stretch by stretch, so that each is in the cache while all is done with it; the transform works alike
      for (std::size_t t = 0; t < size; t += window_chunk) {
        const std::size_t n_points = std::min(window_chunk, size - t);
        double *const here = x.data() + t * batch_point;
        if (!load_all) load(batch, t, t + n_points, here);
        each_run(t, t + n_points, [&](std::size_t place, std::size_t n, std::size_t) {
          subtract_line(x.data() + place * batch_point, place, n, line);
        });
        add_point_products(here, n_points, part.products.data() + t * tensor_size);
        add_trend_products(here, n_points, line.slope, part.crossed.data() + t * tensor_size);
      }
      fft.forward(x, size, [&](std::size_t place, std::size_t n_points) {
        add_point_products(x.data() + place * batch_point, n_points, part.spectrum.data() + place * tensor_size);
      });
    }
    return part;
  }

  /// [longest lag + 1] sum_t u_a(t + m) u_b(t), symmetrised in a and b: one inverse transform for all six.
  std::vector<Tensor> correlations(const BatchFft &fft, std::span<const double> spectrum) const
  {
    // The series are real in the end, so that the spectrum may be taken as even: forward and inverse agree.
    // Component c goes into the real part of lane c of the first axis.
    LaneBuffer x(fft.size() * batch_point, 0.0);
    const double scale = 1.0 / static_cast<double>(fft.size());
    for (std::size_t place = 0; place < fft.size(); ++place)
      for (std::size_t c = 0; c < tensor_size; ++c)
        x[fft.frequencies()[place] * batch_point + c] = scale * spectrum[place * tensor_size + c];
    fft.forward(x, fft.size(), [](std::size_t, std::size_t) {});
    std::vector<Tensor> found(lags_.back().length + 1);
    for (std::size_t place = 0; place < fft.size(); ++place)
      if (fft.frequencies()[place] < found.size())
        for (std::size_t c = 0; c < tensor_size; ++c) found[fft.frequencies()[place]][c] = x[place * batch_point + c];
    return found;
  }

  /// [L] what EdgeSums counts but should not: frames a lag before or after an empty place.
  std::vector<Beside> beside_holes(const Part &all) const
  {
    std::vector<Beside> beside(lags_.size());
    if (holes_.empty()) return beside;
    const std::size_t size = grid_.size();
    for_each_part(lags_.size(), parts_of(lags_.size(), threads_),
                  [&](std::size_t part, std::size_t first, std::size_t last) {
                    for (std::size_t i = first; i < last; ++i) {
                      interruption_.poll(part);
                      std::array<CompensatedSum, tensor_size> squares, crossed;
                      const auto add = [&](std::size_t place, double sign) {
                        for (std::size_t c = 0; c < tensor_size; ++c) {
                          squares[c].add(all.products[place * tensor_size + c]);
                          crossed[c].add(sign * all.crossed[place * tensor_size + c]);
                        }
                      };
                      for (const std::size_t hole : holes_) {
                        if (hole >= lags_[i].length) add(hole - lags_[i].length, -1.0);
                        if (hole + lags_[i].length < size) add(hole + lags_[i].length, 1.0);
                      }
                      for (std::size_t c = 0; c < tensor_size; ++c) {
                        beside[i].squares[c] = squares[c].value();
                        beside[i].crossed[c] = crossed[c].value();
                      }
                    }
                  });
    return beside;
  }

  /// sum_t d_a d_b with d = u(t + m) - u(t) + m trend (the offset of the line drops out), from the correlations and
  /// from sums over the frames. Returns the doubtful.
  std::vector<Lag> assemble(const Part &all, std::span<const Tensor> correlations, std::span<LagSum> sums) const
  {
    Tensor power{};
    for (std::size_t t = 0; t < grid_.size(); ++t) add_to(power, {all.products.data() + t * tensor_size, tensor_size});
    const std::vector<Beside> beside = beside_holes(all);
    EdgeSums edges(all.products, all.crossed);
    std::vector<Lag> doubtful;
    for (std::size_t i = lags_.size(); i-- > 0 && lags_[i].length > 0;) {
      const Lag &lag = lags_[i];
      edges.shorten_to(lag.length);
      const auto m = static_cast<double>(lag.length);
      const auto windows = static_cast<double>(lag.n_windows);
      bool doubt = false;
      for (std::size_t c = 0; c < tensor_size; ++c) {
        const double from_cross = m * (edges.crossed(c) - beside[i].crossed[c]);
        const double from_trend = m * m * windows * all.trends[c];
        const double squares = edges.squares(c) - beside[i].squares[c];
        const double sum = (squares - 2.0 * correlations[lag.length][c]) + (from_cross + from_trend);
        sums[lag.place].products[c] = sum;
        if (c >= BatchFft::axes) continue;  // of two sure axes the mixed product is sure
        const double crossed = m * (std::abs(edges.crossed(c)) + std::abs(beside[i].crossed[c]));
        const double rounding =
            std::numeric_limits<double>::epsilon() * (transform_rounding * power[c] + crossed + from_trend);
        doubt = doubt || rounding > tolerated_error * sum;
      }
      if (doubt) doubtful.push_back(lag);
    }
    return doubtful;
  }

  const Displacements &motion_;
  const FrameGrid &grid_;
  std::vector<std::size_t> holes_;
  std::span<const Lag> lags_;
  std::span<const Lag> quartic_lags_;
  std::vector<std::vector<FrameGrid::Windows>> quartic_windows_;
  std::size_t threads_;
  std::size_t n_parts_;
  Interruption &interruption_;
};

/// Every pair of frames, sorted by the difference of their times.
void add_unequal(const Displacements &motion, std::span<const std::int64_t> timesteps,
                 std::span<const std::int64_t> lag_steps, std::span<const bool> quartic_wanted, std::size_t threads,
                 Interruption &interruption, std::span<LagSum> sums, std::span<std::int64_t> windows)
{
  const std::size_t n_frames = motion.n_frames();
  const std::size_t n_parts = parts_of(motion.n_batches(), threads);
  std::unordered_map<std::int64_t, std::size_t> places;
  for (std::size_t i = 1; i < lag_steps.size(); ++i) places.emplace(lag_steps[i], i);
  std::vector<std::vector<LagSum>> parts(n_parts, std::vector<LagSum>(lag_steps.size()));
  for_each_part(motion.n_batches(), n_parts, [&](std::size_t part, std::size_t first, std::size_t last) {
    // a frame is one row here, so that a pair of frames is looked up once for all atoms
    const std::size_t n_batches = last - first;
    const std::size_t row = n_batches * batch_point;
    LaneBuffer x(n_frames * row);
    for (std::size_t batch = 0; batch < n_batches; ++batch)
      motion.load(first + batch, 0, n_frames, x.data() + batch * batch_point, row);
    for (std::size_t t = 0; t < n_frames; ++t) {
      interruption.poll(part);
      for (std::size_t later = t + 1; later < n_frames && timesteps[later] - timesteps[t] <= lag_steps.back();
           ++later) {
        const auto found = places.find(timesteps[later] - timesteps[t]);
        if (found == places.end()) continue;
        const std::size_t place = found->second;
        const double *const early = x.data() + t * row;
        const double *const late = x.data() + later * row;
        LagSum &sum = parts[part][place];
        add_window_products(early, late, n_batches, sum.products);
        if (quartic_wanted[place]) sum.quartic += sum_window_quartics(early, late, n_batches);
        if (part == 0) ++windows[place];
      }
    }
  });
  windows[0] = static_cast<std::int64_t>(n_frames);
  for (const auto &part : parts) {
    for (std::size_t i = 0; i < sums.size(); ++i) {
      add_to(sums[i].products, part[i].products);
      sums[i].quartic += part[i].quartic;
    }
  }
}

void check_lag_steps(std::span<const std::int64_t> lag_steps)
{
  if (lag_steps.size() < 2)
    throw Error("found " + std::to_string(lag_steps.size()) + " lags, at least 2 (zero and one more) are needed");
  if (lag_steps[0] != 0) throw Error("the first lag is " + std::to_string(lag_steps[0]) + " steps, 0 is needed");
  for (std::size_t i = 1; i < lag_steps.size(); ++i)
    if (lag_steps[i] <= lag_steps[i - 1])
      throw Error("a lag of " + std::to_string(lag_steps[i]) + " steps follows one of " +
                  std::to_string(lag_steps[i - 1]) + ", ascending ones are needed");
}

}  // namespace

void check_timesteps(std::span<const std::int64_t> timesteps, std::size_t n_frames)
{
  if (timesteps.size() != n_frames)
    throw Error("found " + std::to_string(timesteps.size()) + " timesteps for " + std::to_string(n_frames) +
                " frames, one for each is needed");
  for (std::size_t t = 0; t < n_frames; ++t) {
    if (timesteps[t] <= -max_timestep || timesteps[t] >= max_timestep)
      throw Error("timestep " + std::to_string(timesteps[t]) + " of frame " + std::to_string(t) +
                  " is out of range, less than 2^61 = " + std::to_string(max_timestep) +
                  " from zero is needed: count from the first frame");
    if (t > 0 && timesteps[t] <= timesteps[t - 1])
      throw Error("timestep " + std::to_string(timesteps[t]) + " of frame " + std::to_string(t) + " follows " +
                  std::to_string(timesteps[t - 1]) +
                  ", ascending ones are needed: sort the frames, drop repeated ones");
  }
}

MsdAccumulator::MsdAccumulator(std::vector<std::int64_t> lag_steps) : lag_steps_(std::move(lag_steps))
{
  check_lag_steps(lag_steps_);
  sums_.resize(tensor_size * n_lags());
  counts_.resize(n_lags());
  quartic_sums_.resize(n_lags());
  quartic_counts_.resize(n_lags());
}

MsdAccumulator::MsdAccumulator(std::vector<std::int64_t> lag_steps, std::vector<double> sums,
                               std::vector<std::int64_t> counts, std::vector<double> quartic_sums,
                               std::vector<std::int64_t> quartic_counts, Population population) :
    lag_steps_(std::move(lag_steps)),
    sums_(std::move(sums)),
    counts_(std::move(counts)),
    quartic_sums_(std::move(quartic_sums)),
    quartic_counts_(std::move(quartic_counts)),
    population_(population)
{
  check_lag_steps(lag_steps_);
  if (sums_.size() != tensor_size * n_lags() || counts_.size() != n_lags() || quartic_sums_.size() != n_lags() ||
      quartic_counts_.size() != n_lags())
    throw Error("found " + std::to_string(sums_.size()) + " sums, " + std::to_string(counts_.size()) + " counts, " +
                std::to_string(quartic_sums_.size()) + " quartic sums and " + std::to_string(quartic_counts_.size()) +
                " quartic counts for " + std::to_string(n_lags()) + " lags; 6, 1, 1 and 1 for each are needed");
}

void MsdAccumulator::add(std::span<const double> positions, std::size_t n_atoms,
                         std::span<const std::int64_t> timesteps, std::span<const std::int64_t> selection,
                         std::span<const double> drift_weights, std::size_t threads, bool quartic,
                         const std::function<void()> &interrupt)
{
  if (threads < 1 || threads > max_threads)
    throw Error("found " + std::to_string(threads) + " threads, 1 to " + std::to_string(max_threads) +
                " are needed: as many as there are cores");
  add_series(positions, n_atoms, timesteps, selection, drift_weights, threads, quartic, Population::atoms, interrupt);
}

void MsdAccumulator::add_collective(std::span<const double> positions, std::size_t n_atoms,
                                    std::span<const std::int64_t> timesteps, std::span<const double> charges,
                                    std::span<const double> drift_weights, const std::function<void()> &interrupt)
{
  check_frames(positions, n_atoms);
  check_finite(positions, n_atoms, 0);
  check_charges(charges, n_atoms);
  check_drift_weights(drift_weights, n_atoms);
  const std::array<std::int64_t, 1> only{0};
  add_series(charge_displacement(positions, charges, drift_weights), 1, timesteps, only, {}, 1, false,
             Population::collective, interrupt);
}

void MsdAccumulator::add_series(std::span<const double> positions, std::size_t n_atoms,
                                std::span<const std::int64_t> timesteps, std::span<const std::int64_t> selection,
                                std::span<const double> drift_weights, std::size_t threads, bool quartic,
                                Population population, const std::function<void()> &interrupt)
{
  check_population(population);
  const Displacements motion(positions, n_atoms, selection, drift_weights);
  check_timesteps(timesteps, motion.n_frames());
  std::vector<LagSum> sums(n_lags());
  std::vector<std::int64_t> windows(n_lags(), 0);
  const auto quartic_wanted = std::make_unique<bool[]>(n_lags());
  if (quartic)
    for (const std::size_t place : log_spaced(lag_steps_)) quartic_wanted[place] = true;

  Interruption interruption(interrupt);
  if (const auto grid = FrameGrid::of(timesteps)) {
    std::vector<Lag> lags, quartic_lags;
    for (std::size_t i = 0; i < n_lags() && lag_steps_[i] <= timesteps.back() - timesteps.front(); ++i) {
      interruption.poll(0);
      if (lag_steps_[i] % grid->interval() != 0) {
        if (grid->runs().size() > 1) continue;
        throw Error("a lag of " + std::to_string(lag_steps_[i]) + " steps is no multiple of the " +
                    std::to_string(grid->interval()) + " steps between frames: give lags that occur in the trajectory");
      }
      const auto length = static_cast<std::size_t>(lag_steps_[i] / grid->interval());
      const std::size_t n_windows = grid->n_windows(length);
      windows[i] = static_cast<std::int64_t>(n_windows);
      if (n_windows == 0) continue;
      lags.push_back({i, length, n_windows});
      if (quartic_wanted[i]) quartic_lags.push_back(lags.back());
    }
    GridSums(motion, *grid, lags, quartic_lags, threads, interruption).run(sums);
  } else {
    add_unequal(motion, timesteps, lag_steps_, {quartic_wanted.get(), n_lags()}, threads, interruption, sums, windows);
  }

  // summed apart first, so that adding to a filled accumulator rounds as merging does
  MsdAccumulator part(lag_steps_);
  part.population_ = population;
  const auto n_selected = static_cast<std::int64_t>(selection.size());
  for (std::size_t i = 0; i < n_lags(); ++i) {
    std::copy(sums[i].products.begin(), sums[i].products.end(),
              part.sums_.begin() + static_cast<std::ptrdiff_t>(tensor_size * i));
    part.counts_[i] = windows[i] * n_selected;
    part.quartic_sums_[i] = sums[i].quartic;
    part.quartic_counts_[i] = quartic_wanted[i] ? part.counts_[i] : 0;
  }
  *this += part;
}

void MsdAccumulator::check_population(Population other) const
{
  if (population_ == Population::none || other == Population::none || other == population_) return;
  const auto name = [](Population p) {
    return std::string(p == Population::atoms ? "single atoms" : "a collective displacement");
  };
  throw Error("cannot add sums of " + name(other) + " to those of " + name(population_) +
              ": use an MsdAccumulator for each");
}

MsdAccumulator &MsdAccumulator::operator+=(const MsdAccumulator &other)
{
  check_population(other.population_);
  if (other.n_lags() != n_lags())
    throw Error("cannot merge MSDs of " + std::to_string(n_lags()) + " and " + std::to_string(other.n_lags()) +
                " lags; equal numbers are needed: analyse all replicas with one length");
  for (std::size_t i = 0; i < n_lags(); ++i)
    if (lag_steps_[i] != other.lag_steps_[i])
      throw Error("cannot merge MSDs whose lag " + std::to_string(i) + " is " + std::to_string(lag_steps_[i]) +
                  " and " + std::to_string(other.lag_steps_[i]) +
                  " steps; equal lags are needed: analyse all replicas with one interval between frames");
  if (population_ == Population::none) population_ = other.population_;
  add_to(sums_, other.sums_);
  add_to(quartic_sums_, other.quartic_sums_);
  for (std::size_t i = 0; i < n_lags(); ++i) {
    counts_[i] += other.counts_[i];
    quartic_counts_[i] += other.quartic_counts_[i];
  }
  return *this;
}

std::vector<std::int64_t> lag_steps_of(std::span<const std::int64_t> timesteps, std::int64_t longest)
{
  check_timesteps(timesteps, timesteps.size());
  std::vector<std::int64_t> lags;
  if (const auto grid = FrameGrid::of(timesteps)) {
    const std::int64_t last = std::min(longest, timesteps.back() - timesteps.front()) / grid->interval();
    for (std::int64_t length = 0; length <= last; ++length)
      grid->each_windows(static_cast<std::size_t>(length), [&](const FrameGrid::Windows &) {
        lags.push_back(length * grid->interval());
        return false;
      });
    return lags;
  }
  std::unordered_set<std::int64_t> found{0};
  for (std::size_t t = 0; t < timesteps.size(); ++t) {
    for (std::size_t later = t + 1; later < timesteps.size() && timesteps[later] - timesteps[t] <= longest; ++later)
      found.insert(timesteps[later] - timesteps[t]);
    if (found.size() > max_unequal_lags)
      throw Error("the " + std::to_string(timesteps.size()) + " unequally spaced frames have more than " +
                  std::to_string(max_unequal_lags) +
                  " different time differences: keep frames at multiples of a common interval (every 100 steps, "
                  "for example), or shorten the longest lag");
  }
  lags.assign(found.begin(), found.end());
  std::sort(lags.begin(), lags.end());
  return lags;
}

std::vector<std::size_t> log_spaced(std::span<const std::int64_t> lag_steps)
{
  // the first lag at or above each point of a grid that starts at the shortest lag
  const double ratio = std::pow(10.0, 0.05);
  constexpr double slack = 1.0 - 1e-9;
  std::vector<std::size_t> chosen;
  double grid = 0.0;
  for (std::size_t i = 1; i < lag_steps.size(); ++i) {
    const auto lag = static_cast<double>(lag_steps[i]);
    if (lag < slack * grid) continue;
    chosen.push_back(i);
    if (grid == 0.0) grid = lag;
    while (slack * grid <= lag) grid *= ratio;
  }
  return chosen;
}

}  // namespace lpsmd
