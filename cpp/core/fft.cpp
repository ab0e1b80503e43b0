#include "core/fft.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <complex>
#include <numbers>

#include "core/simd.h"

namespace lpsmd {

namespace {

constexpr std::size_t lanes = BatchFft::lanes;
constexpr std::size_t axes = BatchFft::axes;
constexpr std::size_t point = BatchFft::point;

// Blocks up to this many points (24 kB) stay in the first-level cache: there the passes run one after another
constexpr std::size_t cached_block = 64;

/// One step of decimation in frequency, radix 4, on a block of n points; w is [n / 4, 6].
///
/// x[t + p n / 4], p = 0 .. 3, becomes the four inputs of the next smaller transforms, which hold the frequencies
/// 4 k, 4 k + 1, 4 k + 2 and 4 k + 3. With HalfZero the second half of x is not read: it counts as zero.
template <bool HalfZero = false>
inline __attribute__((always_inline)) void radix4(double *x, std::size_t n, const double *w)
{
  const std::size_t quarter = n / 4 * point;
  for (std::size_t t = 0; t < n / 4; ++t, w += 6) {
    for (std::size_t axis = 0; axis < axes; ++axis) {
      double *const a = x + t * point + axis * 2 * lanes;
      double *const b = a + quarter;
      double *const c = b + quarter;
      double *const d = c + quarter;
      LPSMD_INDEPENDENT
      for (std::size_t l = 0; l < lanes; ++l) {
        const std::size_t i = l + lanes;
        const double sum_ac_re = HalfZero ? a[l] : a[l] + c[l], sum_ac_im = HalfZero ? a[i] : a[i] + c[i];
        const double dif_ac_re = HalfZero ? a[l] : a[l] - c[l], dif_ac_im = HalfZero ? a[i] : a[i] - c[i];
        const double sum_bd_re = HalfZero ? b[l] : b[l] + d[l], sum_bd_im = HalfZero ? b[i] : b[i] + d[i];
        const double dif_bd_re = HalfZero ? b[l] : b[l] - d[l], dif_bd_im = HalfZero ? b[i] : b[i] - d[i];
        a[l] = sum_ac_re + sum_bd_re;
        a[i] = sum_ac_im + sum_bd_im;
        const double y1_re = dif_ac_re + dif_bd_im, y1_im = dif_ac_im - dif_bd_re;
        b[l] = y1_re * w[0] - y1_im * w[1];
        b[i] = y1_re * w[1] + y1_im * w[0];
        const double y2_re = sum_ac_re - sum_bd_re, y2_im = sum_ac_im - sum_bd_im;
        c[l] = y2_re * w[2] - y2_im * w[3];
        c[i] = y2_re * w[3] + y2_im * w[2];
        const double y3_re = dif_ac_re - dif_bd_im, y3_im = dif_ac_im + dif_bd_re;
        d[l] = y3_re * w[4] - y3_im * w[5];
        d[i] = y3_re * w[5] + y3_im * w[4];
      }
    }
  }
}

inline __attribute__((always_inline)) void radix2(double *x)
{
  for (std::size_t row = 0; row < point; row += lanes) {
    double *const a = x + row;
    double *const b = a + point;
    LPSMD_INDEPENDENT
    for (std::size_t l = 0; l < lanes; ++l) {
      const double sum = a[l] + b[l];
      const double difference = a[l] - b[l];
      a[l] = sum;
      b[l] = difference;
    }
  }
}

LPSMD_CLONES void radix4_pass(double *x, std::size_t n, const double *w)
{
  radix4(x, n, w);
}

LPSMD_CLONES void radix4_pass_half_zero(double *x, std::size_t n, const double *w)
{
  radix4<true>(x, n, w);
}

/// All steps on a block in the cache; w[k] are the factors of blocks of 4 2^k points.
LPSMD_CLONES void cached_passes(double *x, std::size_t n, const std::vector<double> *w)
{
  std::size_t size = n;
  for (; size >= 4; size /= 4) {
    const double *const factors = w[std::bit_width(size) - 3].data();
    for (std::size_t first = 0; first < n; first += size) radix4(x + first * point, size, factors);
  }
  if (size == 2)
    for (std::size_t first = 0; first < n; first += 2) radix2(x + first * point);
}

/// The first step where the size has a factor 3; w is [n / 3, 4]. With ThirdZero the last third counts as zero.
template <bool ThirdZero> inline __attribute__((always_inline)) void radix3(double *x, std::size_t n, const double *w)
{
  constexpr double sine = std::numbers::sqrt3 / 2;
  const std::size_t third = n / 3 * point;
  for (std::size_t t = 0; t < n / 3; ++t, w += 4) {
    for (std::size_t axis = 0; axis < axes; ++axis) {
      double *const a = x + t * point + axis * 2 * lanes;
      double *const b = a + third;
      double *const c = b + third;
      LPSMD_INDEPENDENT
      for (std::size_t l = 0; l < lanes; ++l) {
        const std::size_t i = l + lanes;
        const double sum_re = ThirdZero ? b[l] : b[l] + c[l], sum_im = ThirdZero ? b[i] : b[i] + c[i];
        const double dif_re = sine * (ThirdZero ? b[l] : b[l] - c[l]);
        const double dif_im = sine * (ThirdZero ? b[i] : b[i] - c[i]);
        const double mid_re = a[l] - 0.5 * sum_re, mid_im = a[i] - 0.5 * sum_im;
        a[l] += sum_re;
        a[i] += sum_im;
        const double y1_re = mid_re + dif_im, y1_im = mid_im - dif_re;
        b[l] = y1_re * w[0] - y1_im * w[1];
        b[i] = y1_re * w[1] + y1_im * w[0];
        const double y2_re = mid_re - dif_im, y2_im = mid_im + dif_re;
        c[l] = y2_re * w[2] - y2_im * w[3];
        c[i] = y2_re * w[3] + y2_im * w[2];
      }
    }
  }
}

LPSMD_CLONES void radix3_pass(double *x, std::size_t n, const double *w)
{
  radix3<false>(x, n, w);
}

LPSMD_CLONES void radix3_pass_third_zero(double *x, std::size_t n, const double *w)
{
  radix3<true>(x, n, w);
}

std::size_t size_for(std::size_t at_least)
{
  const std::size_t power = std::bit_ceil(at_least);
  return power >= 4 && power / 4 * 3 >= at_least ? power / 4 * 3 : power;
}

using LongComplex = std::complex<long double>;

LongComplex root_of_unity(std::size_t j, std::size_t n)
{
  const long double angle = 2 * std::numbers::pi_v<long double> * static_cast<long double>(j) / n;
  return {std::cos(angle), -std::sin(angle)};
}

/// exp(-2 pi i j / n) for j = 0 .. n - 1: errors of the factors are errors of the result, so they come from long
/// doubles; sines are slow, hence few of them, and products.
std::vector<double> roots_of_unity(std::size_t n)
{
  constexpr std::size_t step = 256;
  std::array<LongComplex, step> fine;
  for (std::size_t j = 0; j < step; ++j) fine[j] = root_of_unity(j, n);
  std::vector<double> roots(2 * n);
  LongComplex coarse;
  for (std::size_t j = 0; j < n; ++j) {
    if (j % step == 0) coarse = root_of_unity(j, n);
    const LongComplex &f = fine[j % step];
    roots[2 * j] = static_cast<double>(coarse.real() * f.real() - coarse.imag() * f.imag());
    roots[2 * j + 1] = static_cast<double>(coarse.real() * f.imag() + coarse.imag() * f.real());
  }
  return roots;
}

/// [n / radix, 2 (radix - 1)] w^(j q) for q = 1 .. radix - 1, w the first root of order n.
std::vector<double> factors_of(std::size_t n, std::size_t radix, const std::vector<double> &roots)
{
  const std::size_t stride = roots.size() / 2 / n;
  std::vector<double> factors;
  factors.reserve(2 * (radix - 1) * (n / radix));
  for (std::size_t j = 0; j < n / radix; ++j) {
    for (std::size_t q = 1; q < radix; ++q) {
      factors.push_back(roots[2 * j * q * stride]);
      factors.push_back(roots[2 * j * q * stride + 1]);
    }
  }
  return factors;
}

/// Frequencies of a block in the order in which the steps leave them: base + step k.
void order_frequencies(std::span<std::uint32_t> places, std::uint32_t base, std::uint32_t step)
{
  if (places.size() == 1) {
    places[0] = base;
    return;
  }
  const std::uint32_t radix = places.size() % 3 == 0 ? 3 : places.size() % 4 == 0 ? 4 : 2;
  const std::size_t part = places.size() / radix;
  for (std::uint32_t q = 0; q < radix; ++q)
    order_frequencies(places.subspan(q * part, part), base + q * step, radix * step);
}

}  // namespace

BatchFft::BatchFft(std::size_t at_least) : frequencies_(size_for(at_least))
{
  const std::size_t n = size();
  order_frequencies(frequencies_, 0, 1);
  const std::vector<double> roots = roots_of_unity(n);
  const bool three = n % 3 == 0;
  if (three) thirds_ = factors_of(n, 3, roots);
  for (std::size_t block = 4; block <= (three ? n / 3 : n); block *= 2)
    quarters_.push_back(factors_of(block, 4, roots));
}

void BatchFft::forward(std::span<double> x, std::size_t n_filled, const Finished &finished) const
{
  // the first step knows of zeros in its last third or half; what is left over is written
  const std::size_t n = size();
  const bool three = n % 3 == 0;
  const std::size_t part = three ? n / 3 * 2 : n / 2;
  const bool rest_zero = n_filled <= part && (three || n > cached_block);
  const std::size_t last = rest_zero ? part : n;
  std::fill(x.data() + n_filled * point, x.data() + last * point, 0.0);
  if (three) {
    (rest_zero ? radix3_pass_third_zero : radix3_pass)(x.data(), n, thirds_.data());
    for (std::size_t first = 0; first < n; first += n / 3) transform(x.data(), first, n / 3, finished);
  } else if (rest_zero) {
    radix4_pass_half_zero(x.data(), n, factors_of_block(n));
    divide(x.data(), 0, n, finished);
  } else {
    transform(x.data(), 0, n, finished);
  }
}

void BatchFft::transform(double *all, std::size_t first, std::size_t n, const Finished &finished) const
{
  if (n <= cached_block) {
    cached_passes(all + first * point, n, quarters_.data());
    finished(first, n);
    return;
  }
  radix4_pass(all + first * point, n, factors_of_block(n));
  divide(all, first, n, finished);
}

void BatchFft::divide(double *all, std::size_t first, std::size_t n, const Finished &finished) const
{
  for (std::size_t part = 0; part < 4; ++part) transform(all, first + part * (n / 4), n / 4, finished);
}

const double *BatchFft::factors_of_block(std::size_t n) const
{
  return quarters_[static_cast<std::size_t>(std::bit_width(n)) - 3].data();
}

}  // namespace lpsmd
