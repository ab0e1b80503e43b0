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

constexpr std::array<double, 9> unit = {1, 0, 0, 0, 1, 0, 0, 0, 1};

std::string three_digits(double value)
{
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.3g", value);
  return text.data();
}

/// "(10 0 0), (4.9 10 0), (0 0 10)"
std::string vectors(const std::array<double, 9> &cell)
{
  std::string text;
  for (std::size_t v = 0; v < 3; ++v) {
    text += v == 0 ? "(" : ", (";
    for (std::size_t k = 0; k < 3; ++k) text += (k == 0 ? "" : " ") + three_digits(cell[3 * v + k]);
    text += ")";
  }
  return text;
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

std::optional<std::array<double, 9>> lattice_change(const Box &then, const Box &now)
{
  // beyond this the numbers are no cells of a simulation
  constexpr double largest = 1000.0;
  const auto inverse_then = inverse(then.cell);
  std::array<double, 9> change = unit;
  for (std::size_t v = 0; v < 3; ++v) {
    const Vector row = times({now.cell[3 * v], now.cell[3 * v + 1], now.cell[3 * v + 2]}, inverse_then);
    for (std::size_t k = 0; k < 3; ++k) {
      if (!then.periodic[v] || !then.periodic[k]) continue;
      if (!(std::abs(row[k]) <= largest)) return std::nullopt;
      change[3 * v + k] = std::round(row[k]) + 0.0;  // no -0
    }
  }
  if (std::abs(determinant(change)) != 1.0) return std::nullopt;
  return change;
}

std::array<double, 9> changed_cell(const std::array<double, 9> &change, const std::array<double, 9> &cell)
{
  std::array<double, 9> out{};
  for (std::size_t v = 0; v < 3; ++v) {
    const Vector row = times({change[3 * v], change[3 * v + 1], change[3 * v + 2]}, cell);
    std::copy(row.begin(), row.end(), out.begin() + static_cast<std::ptrdiff_t>(3 * v));
  }
  return out;
}

/// The same lattice and positions in terms of other vectors.
void Unwrapper::flip(const std::array<double, 9> &change)
{
  const auto back = inverse(change);
  box_.cell = changed_cell(change, box_.cell);
  for (std::vector<double> *const of : {&images_, &fractions_}) {
    for (std::size_t i = 0; i < of->size(); i += 3) {
      const Vector other = times({(*of)[i], (*of)[i + 1], (*of)[i + 2]}, back);
      std::copy(other.begin(), other.end(), of->begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
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
  const auto flipped = lattice_change(box_, box);
  if (!flipped)
    throw FrameFailure{"the cell changes from " + vectors(box_.cell) + " to " + vectors(box.cell) +
                       " Angstrom since the frame before; changes below half a cell vector, or a flip to other "
                       "vectors of the same lattice, are needed to follow atoms: write frames more often"};
  if (*flipped != unit) flip(*flipped);
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
    const std::string here = name + ", frame " + std::to_string(frame) + ": ";
    try {
      const auto too_long = unwrapper.place(how, box, positions.subspan(frame * size, size), {});
      if (too_long) throw Error(here + "atom " + std::to_string(too_long->atom + 1) + " " + describe(*too_long));
    } catch (const FrameFailure &failure) {
      throw Error(here + failure.text);
    }
  }
}

}  // namespace lpsmd
