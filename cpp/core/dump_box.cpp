#include "core/dump_box.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/text_numbers.h"

namespace lpsmd {

double determinant(const std::array<double, 9> &m)
{
  return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) + m[2] * (m[3] * m[7] - m[4] * m[6]);
}

namespace {

void check_volume(const Box &box)
{
  const double volume = std::abs(determinant(box.cell));
  if (!(volume > 0.0) || !std::isfinite(volume))
    throw FrameFailure{"the volume of the box is " + std::to_string(volume) +
                       " cubic Angstrom, a positive number is needed: look at the log"};
}

}  // namespace

Box restricted_box(std::array<std::array<double, 2>, 3> bounds, const std::array<double, 3> &tilts)
{
  // LAMMPS writes the bounding box of a tilted cell; the tilts take the cell's own bounds out of it
  const auto [xy, xz, yz] = tilts;
  bounds[0][0] -= std::min({0.0, xy, xz, xy + xz});
  bounds[0][1] -= std::max({0.0, xy, xz, xy + xz});
  bounds[1][0] -= std::min(0.0, yz);
  bounds[1][1] -= std::max(0.0, yz);

  Box box;
  std::array<double, 3> length{};
  for (std::size_t k = 0; k < 3; ++k) {
    const auto [low, high] = bounds[k];
    if (!(high > low))
      throw FrameFailure{"the box is empty in " + std::string(1, "xyz"[k]) + " (from " + std::to_string(low) + " to " +
                         std::to_string(high) + "), an upper bound above the lower one is needed: look at the log"};
    box.origin[k] = low;
    length[k] = high - low;
  }
  box.cell = {length[0], 0, 0, xy, length[1], 0, xz, yz, length[2]};
  check_volume(box);
  return box;
}

Box general_box(const std::array<double, 9> &cell, const std::array<double, 3> &origin)
{
  Box box;
  box.cell = cell;
  box.origin = origin;
  check_volume(box);
  return box;
}

std::array<double, 9> inverse(const std::array<double, 9> &m)
{
  const double d = 1.0 / determinant(m);
  return {d * (m[4] * m[8] - m[5] * m[7]), d * (m[2] * m[7] - m[1] * m[8]), d * (m[1] * m[5] - m[2] * m[4]),
          d * (m[5] * m[6] - m[3] * m[8]), d * (m[0] * m[8] - m[2] * m[6]), d * (m[2] * m[3] - m[0] * m[5]),
          d * (m[3] * m[7] - m[4] * m[6]), d * (m[1] * m[6] - m[0] * m[7]), d * (m[0] * m[4] - m[1] * m[3])};
}

void check_units(std::string_view units)
{
  if (!units.starts_with("metal") && !units.starts_with("real"))
    throw FrameFailure{"the units are " + in_quotes(units) +
                       ", lengths in Angstrom are needed: run with `units metal`"};
}

}  // namespace lpsmd
