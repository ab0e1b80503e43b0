#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "core/byte_source.h"
#include "core/dump_frame.h"

namespace lpsmd {

/// The kept atoms of one trajectory, in order of atom id, unwrapped; lengths in Angstrom.
/// F frames, N atoms; every array is flat in row-major order.
struct DumpTrajectory {
  std::vector<std::int64_t> timesteps;  ///< [F] integrator steps, ascending
  std::vector<double> positions;        ///< [F, N, 3]
  std::vector<std::int64_t> ids;        ///< [N] ascending
  std::vector<std::string> elements;    ///< [N] element of each atom
  std::vector<double> cells;            ///< [F, 3, 3] rows are the cell vectors a, b, c
  std::vector<double> origins;          ///< [F, 3] the cell's lower corner
  std::array<bool, 3> periodic = {true, true, true};
  std::size_t repeated_frames = 0;     ///< frames dropped because an earlier one has the same timestep
  std::vector<std::string> truncated;  ///< what was said of each truncated last frame that was dropped
};

/// Reads the successive LAMMPS `custom` dumps of one trajectory, text or binary, whole or in blocks.
///
/// Columns may come in any order; needed are `id`, `element` (or `type`, with the elements of the types) and
/// positions: `xu yu zu`, `xsu ysu zsu`, or `x y z` or `xs ys zs` with `ix iy iz` (without these only on request, see
/// Unwrapper). Cells may be orthogonal, triclinic or general and may change; atoms may come in any order. A frame
/// whose timestep was read before, as restarts write it, is dropped if its positions agree.
///
/// The result does not depend on the number of threads. Lines of atoms that are not kept are skipped unread.
class DumpReader {
 public:
  static constexpr std::size_t all_frames = std::numeric_limits<std::size_t>::max();

  /// @param inputs  the dump of each chunk, in order of time
  DumpReader(std::vector<DumpInput> inputs, DumpOptions options);
  ~DumpReader();
  DumpReader(DumpReader &&) noexcept;
  DumpReader &operator=(DumpReader &&) noexcept;

  /// The next frames, at most so many; no frames at the end of the trajectory. Counts and messages are those of
  /// the frames read by this call.
  /// @throws Error  naming file, frame (counted from 0 in its file), timestep and line; after it, and while another
  ///                thread reads, further calls are refused
  DumpTrajectory read(std::size_t most_frames = all_frames);

 private:
  class State;
  std::unique_ptr<State> state_;
};

}  // namespace lpsmd
