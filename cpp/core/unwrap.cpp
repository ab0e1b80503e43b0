#include "core/unwrap.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/dump_box.h"
#include "core/error.h"

namespace lpsmd {

namespace {

using Vector = std::array<double, 3>;

/// Row vector times matrix of rows.
Vector times(const Vector &v, const std::array<double, 9> &m)
{
  Vector out{};
  for (std::size_t k = 0; k < 3; ++k) out[k] = v[0] * m[k] + v[1] * m[3 + k] + v[2] * m[6 + k];
  return out;
}

Vector fractional(const double *position, const Box &box, const std::array<double, 9> &inverse_cell)
{
  return times({position[0] - box.origin[0], position[1] - box.origin[1], position[2] - box.origin[2]}, inverse_cell);
}

std::string three_digits(double value)
{
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.3g", value);
  return text.data();
}

}  // namespace

std::optional<Unwrapper::LongStep> Unwrapper::place(Images how, const Box &box, std::span<double> positions,
                                                    std::span<const std::int32_t> flags)
{
  if (started_ && box.cell != box_.cell) advance_offset(box);
  if (how == Images::nearest) {
    if (const auto too_long = add_nearest_images(box, positions)) return too_long;
  }
  remember(how, box, positions, flags);
  for (std::size_t i = 0; i < offset_.size(); ++i) positions[i] += offset_[i];
  return std::nullopt;
}

std::optional<Unwrapper::LongStep> Unwrapper::add_nearest_images(const Box &box, std::span<double> positions)
{
  const auto inverse_cell = inverse(box.cell);
  const bool first = fractions_.size() != positions.size();
  if (first) fractions_.resize(positions.size());
  images_.resize(positions.size());
  for (std::size_t i = 0; i < positions.size(); i += 3) {
    const Vector now = fractional(&positions[i], box, inverse_cell);
    Vector step{}, image{};
    for (std::size_t k = 0; k < 3; ++k) {
      if (!first) step[k] = now[k] - fractions_[i + k];
      if (box.periodic[k]) image[k] = -std::round(step[k]);
      step[k] += image[k];
    }
    for (std::size_t k = 0; k < 3; ++k) {
      if (box.periodic[k] && !(std::abs(step[k]) <= longest_step)) {
        const Vector moved = times(step, box.cell);
        return LongStep{i / 3, k, std::abs(step[k]), std::hypot(moved[0], moved[1], moved[2])};
      }
    }
    const Vector shift = times(image, box.cell);
    for (std::size_t k = 0; k < 3; ++k) {
      fractions_[i + k] = now[k] + image[k];
      images_[i + k] = image[k];
      positions[i + k] += shift[k];
    }
  }
  return std::nullopt;
}

/// Unwrapped columns do not say their images: they are those of the cell that the atom lies in.
void Unwrapper::images_of_last_frame()
{
  if (how_ != Images::rewrapped) return;
  const auto inverse_cell = inverse(box_.cell);
  images_.resize(positions_.size());
  for (std::size_t i = 0; i < positions_.size(); i += 3) {
    const Vector at = fractional(&positions_[i], box_, inverse_cell);
    for (std::size_t k = 0; k < 3; ++k) images_[i + k] = box_.periodic[k] ? std::floor(at[k]) : 0.0;
  }
}

void Unwrapper::advance_offset(const Box &box)
{
  images_of_last_frame();
  std::array<double, 9> change{};
  for (std::size_t i = 0; i < 9; ++i) change[i] = box.cell[i] - box_.cell[i];
  offset_.resize(positions_.size());
  for (std::size_t i = 0; i < offset_.size(); i += 3) {
    const Vector shift = times({images_[i], images_[i + 1], images_[i + 2]}, change);
    for (std::size_t k = 0; k < 3; ++k) offset_[i + k] -= shift[k];
  }
}

void Unwrapper::remember(Images how, const Box &box, std::span<const double> positions,
                         std::span<const std::int32_t> flags)
{
  started_ = true;
  how_ = how;
  box_ = box;
  positions_.assign(positions.begin(), positions.end());
  if (how == Images::flags) images_.assign(flags.begin(), flags.end());
}

Vector nearest_difference(const double *now, const double *then, const Box &box)
{
  Vector difference = {now[0] - then[0], now[1] - then[1], now[2] - then[2]};
  Vector image = times(difference, inverse(box.cell));
  for (std::size_t k = 0; k < 3; ++k) image[k] = box.periodic[k] ? std::round(image[k]) : 0.0;
  const Vector shift = times(image, box.cell);
  for (std::size_t k = 0; k < 3; ++k) difference[k] -= shift[k];
  return difference;
}

std::string describe(const Unwrapper::LongStep &step)
{
  return "moves " + three_digits(step.fraction) + " of the cell along " + "abc"[step.axis] + " in one step (" +
         three_digits(step.length) +
         " Angstrom), at most a third is needed to tell its periodic image from the frame before; write frames more "
         "often, or write unwrapped positions (`dump ... custom ... id element xu yu zu`)";
}

void unwrap(const std::string &name, std::span<double> positions, std::span<const double> cells,
            const std::array<bool, 3> &periodic, std::size_t n_frames, Images how)
{
  Unwrapper unwrapper;
  const std::size_t size = n_frames == 0 ? 0 : positions.size() / n_frames;
  for (std::size_t frame = 0; frame < n_frames; ++frame) {
    Box box;
    std::copy_n(cells.begin() + static_cast<std::ptrdiff_t>(9 * frame), 9, box.cell.begin());
    box.periodic = periodic;
    const auto too_long = unwrapper.place(how, box, positions.subspan(frame * size, size), {});
    if (too_long)
      throw Error(name + ", frame " + std::to_string(frame) + ": atom " + std::to_string(too_long->atom + 1) + " " +
                  describe(*too_long));
  }
}

}  // namespace lpsmd
