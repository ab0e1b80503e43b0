#pragma once

#include <array>
#include <string_view>

#include "core/dump_frame.h"

namespace lpsmd {

/// The cell of a frame from the bounds as dumps hold them.
/// @param bounds  [3] low, high of the bounding box
/// @param tilts   xy, xz, yz; zeros for an orthogonal cell
/// @throws FrameFailure if the cell is empty
Box restricted_box(std::array<std::array<double, 2>, 3> bounds, const std::array<double, 3> &tilts);

/// A general cell. @throws FrameFailure if its volume is zero
Box general_box(const std::array<double, 9> &cell, const std::array<double, 3> &origin);

/// The inverse of a cell: fractional coordinates are (r - origin) times it. Rows as in Box.
std::array<double, 9> inverse(const std::array<double, 9> &cell);

double determinant(const std::array<double, 9> &rows);

/// Lengths must be in Angstrom. @throws FrameFailure
void check_units(std::string_view units);

}  // namespace lpsmd
