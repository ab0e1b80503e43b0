#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace lpsmd {

/// Fourier transforms of 24 complex series at once, in place, frequencies in an order of its own.
///
/// Power spectra summed over thousands of series need neither the natural order nor one series at a time, and no
/// C++ library of transforms comes as a wheel. A point of time is a block of 48 numbers,
///
///     [axis 3][part 2: real, imaginary][lane 8]
///
/// so that every step of a butterfly is the same for 8 neighbouring numbers: one vector register of AVX-512. The
/// recursion is depth-first, hence needs no knowledge of the caches: 100,000 frames cost what their number says.
class BatchFft {
 public:
  static constexpr std::size_t axes = 3;
  static constexpr std::size_t lanes = 8;
  static constexpr std::size_t point = axes * 2 * lanes;

  /// @param at_least  points needed; the size is the next 2^k or 3 2^k
  explicit BatchFft(std::size_t at_least);

  std::size_t size() const { return frequencies_.size(); }

  /// [size] the frequency k at each place of the result
  std::span<const std::uint32_t> frequencies() const { return frequencies_; }

  /// Told of each stretch of the result while it still is in the cache: first place, number of places.
  using Finished = std::function<void(std::size_t, std::size_t)>;

  /// x_k = sum_t x_t exp(-2 pi i k t / size), in place, in the order of `frequencies`.
  ///
  /// @param x         [size, 3, 2, 8]
  /// @param n_filled  points; those behind count as zero, whatever they hold
  void forward(std::span<double> x, std::size_t n_filled, const Finished &finished) const;

 private:
  void transform(double *all, std::size_t first, std::size_t n, const Finished &finished) const;
  const double *factors_of_block(std::size_t n) const;
  void divide(double *all, std::size_t first, std::size_t n, const Finished &finished) const;

  std::vector<std::uint32_t> frequencies_;
  /// [size / 3, 4] w^j, w^2j of the first step where the size has a factor 3
  std::vector<double> thirds_;
  /// for block sizes 4, 8, 16 ..: [n / 4, 6] w^j, w^2j, w^3j
  std::vector<std::vector<double>> quarters_;
};

}  // namespace lpsmd
