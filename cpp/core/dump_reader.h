#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace lpsmd {

/// The kept atoms of one trajectory, in order of atom id, unwrapped; lengths in Angstrom.
/// F frames, N atoms; every array is flat in row-major order.
struct DumpTrajectory {
  std::vector<std::int64_t> timesteps;  ///< [F] integrator steps, equally spaced
  std::vector<double> positions;        ///< [F, N, 3]
  std::vector<std::int64_t> ids;        ///< [N] ascending
  std::vector<std::string> elements;    ///< [N] element of each atom
  std::vector<double> cells;            ///< [F, 3, 3] rows are the cell vectors a, b, c
  std::vector<double> origins;          ///< [F, 3] the cell's lower corner
  std::array<bool, 3> periodic = {true, true, true};
  std::size_t repeated_frames = 0;  ///< frames dropped because an earlier one has the same timestep
};

/// Read the successive LAMMPS `custom` text dumps of one trajectory.
///
/// Columns may come in any order; needed are `id`, `element` and either `xu yu zu` or `x y z ix iy iz`
/// (unwrapped with the images and the frame's own cell, triclinic too). Atoms may come in any order.
/// A frame whose timestep was read before, as restarts write it, is dropped if its positions agree.
///
/// @param paths    the dump of each chunk, in order of time
/// @param species  elements to keep, all if empty; lines of other atoms are skipped unread
/// @throws Error   naming file, frame (counted from 0 in its file), timestep and line
DumpTrajectory read_dump(std::span<const std::string> paths, std::span<const std::string> species);

}  // namespace lpsmd
