#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/dump_frame.h"

namespace lpsmd {

/// Follows atoms through periodic images, frame after frame.
///
/// In a fixed cell L the unwrapped position is u = w + n L with the images n. In a changing one that would move
/// an atom by n times the change of the cell though it did not move; there
///
///     u(i+1) = u(i) + [w(i+1) - w(i)] + [n(i+1) - n(i)] L(i+1)
///
/// (toroidal-view-preserving scheme: von Buelow, Bullerjahn, Hummer, doi:10.1063/5.0008316). Both are one:
/// with U = w + n L of each frame, u = U + o, where o(i+1) = o(i) - n(i) [L(i+1) - L(i)].
///
/// A tilted cell may flip: its vectors are replaced by others of the same lattice, L(i+1) = M L(i) but for the small
/// change, with whole numbers M of determinant 1 or -1. U stays and n becomes n M^-1, as in LAMMPS (fix npt, fix
/// deform), so L(i) and n(i) above are M L(i) and n(i) M^-1.
class Unwrapper {
 public:
  /// Largest step that counts as one: nearer to half a cell, the nearest image may be the wrong one.
  static constexpr double longest_step = 1.0 / 3.0;

  /// A step that is too long to tell its image.
  struct LongStep {
    std::size_t atom = 0, axis = 0;
    double fraction = 0.0;  ///< of the cell, along the axis
    double length = 0.0;    ///< Angstrom
  };

  /// The next frame: `positions` become unwrapped in place. `how` may change between flags and rewrapped only.
  /// @param positions  [N, 3] U (how = flags or rewrapped), w (nearest)
  /// @param flags      [N, 3] n, read for how = flags
  /// @return the first step that is too long (how = nearest); positions are then undefined
  /// @throws FrameFailure if the cell changes so much that a flip cannot be told
  std::optional<LongStep> place(Images how, const Box &box, std::span<double> positions,
                                std::span<const std::int32_t> flags);

  /// u - U of the last frame; empty as long as the cell never changed.
  std::span<const double> offset() const { return offset_; }

 private:
  std::optional<LongStep> add_nearest_images(const Box &box, std::span<double> positions);
  void advance_offset(const Box &box);
  void flip(const std::array<double, 9> &change);
  void remember(Images how, const Box &box, std::span<const double> positions, std::span<const std::int32_t> flags);
  void images_of_last_frame();

  bool started_ = false;
  Images how_ = Images::rewrapped;
  Box box_;
  std::vector<double> positions_;  ///< U of the last frame
  std::vector<double> images_;     ///< n of the last frame, where known
  std::vector<double> fractions_;  ///< unwrapped fractional coordinates of the last frame, for nearest images
  std::vector<double> offset_;
};

/// Whole numbers M with which the lattice vectors `now` are M times those of `then`, but for a small change; none if
/// there is no such M of determinant 1 or -1. Axes that do not repeat have no part in it.
std::optional<std::array<double, 9>> lattice_change(const Box &then, const Box &now);

/// M times the vectors of a cell.
std::array<double, 9> changed_cell(const std::array<double, 9> &change, const std::array<double, 9> &cell);

/// The difference of two positions, shortened by cell vectors.
std::array<double, 3> nearest_difference(const double *now, const double *then, const Box &box);

/// "moves 0.41 of the cell along b (4.2 Angstrom) ...": value found, needed, and what to do.
std::string describe(const Unwrapper::LongStep &step);

/// Unwrap whole trajectories that came without images, in place.
/// @param name       what errors call the trajectory
/// @param positions  [F, N, 3]
/// @param cells      [F, 3, 3]
/// @param how        nearest, or rewrapped where positions are unwrapped already and only the cell changes
/// @throws Error naming atom (counted from 1) and frame (from 0)
void unwrap(const std::string &name, std::span<double> positions, std::span<const double> cells,
            const std::array<bool, 3> &periodic, std::size_t n_frames, Images how);

}  // namespace lpsmd
