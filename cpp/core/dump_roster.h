#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dump_columns.h"
#include "core/dump_frame.h"

namespace lpsmd {

/// Which atoms to keep, with the elements known so far.
class AtomFilter {
 public:
  explicit AtomFilter(const DumpOptions &options);

  /// Index of an element, added if it is new. @throws FrameFailure for what is no name
  std::size_t kind_of(std::string_view element);
  /// The same for an element that may not be added: none if it is not known.
  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::size_t known_kind(std::string_view element) const;
  /// Index of the element of a type, from elements_of_types.
  std::size_t kind_of_type(std::int64_t type) const;

  bool keeps(const Atom &atom) const;
  bool keeps_all() const { return keeps_all_; }
  const std::vector<std::string> &elements() const { return elements_; }

 private:
  bool wants(std::string_view element) const;

  DumpSelection keep_;
  std::vector<std::string> elements_;
  std::vector<bool> kind_kept_;
  std::vector<std::size_t> kind_of_type_;
  bool keeps_all_ = false;
};

/// The kept atoms of a trajectory, as its first frame tells them. A frame's atom has a slot: its place in
/// the order of ids.
class Roster {
 public:
  /// @param atoms    the kept atoms of the first frame
  /// @param present  every element of the first frame, for messages
  /// @throws FrameFailure if an atom occurs twice or a selection finds none
  Roster(std::vector<Atom> atoms, AtomFilter filter, std::span<const std::string> present, std::size_t atoms_in_file,
         const DumpOptions &options);

  std::size_t size() const { return ids_.size(); }
  std::size_t atoms_in_file() const { return atoms_in_file_; }
  std::span<const std::int64_t> ids() const { return ids_; }
  const AtomFilter &filter() const { return filter_; }
  const std::string &element(std::size_t slot) const { return filter_.elements()[kinds_[slot]]; }
  std::size_t kind(std::size_t slot) const { return kinds_[slot]; }

  static constexpr std::size_t none = static_cast<std::size_t>(-1);
  std::size_t slot_of(std::int64_t id) const;

 private:
  std::vector<std::int64_t> ids_;
  std::vector<std::size_t> kinds_;
  AtomFilter filter_;
  std::size_t atoms_in_file_;
  std::vector<std::uint32_t> table_;  ///< slot + 1 of id - ids_[0], where ids are dense enough for a table
};

/// Puts the atoms of one frame after another into their slots; one for each thread.
class FramePlacer {
 public:
  explicit FramePlacer(const Roster &roster) : roster_(roster), seen_in_(roster.size()) {}

  /// Append room for a frame to `out`.
  void begin(const Layout &layout, const Box &box, ParsedPortion &out);
  /// @param kept  how many atoms of this frame were kept before this one
  /// @return its slot @throws FrameFailure if it is not of the roster or comes a second time
  std::size_t place(const Atom &atom, std::size_t kept);
  /// The target of an atom whose slot and element are known; positions are used as they are.
  double *take(std::size_t slot, std::size_t kept);
  /// @throws FrameFailure if atoms are missing
  void finish(std::size_t kept) const;

 private:
  [[noreturn]] void fail_twice(std::int64_t id) const;

  const Roster &roster_;
  std::vector<std::uint64_t> seen_in_;      ///< frame in which each slot was filled last
  std::vector<std::uint32_t> slot_of_row_;  ///< where the previous frame's k-th kept atom went
  std::uint64_t frame_stamp_ = 0;
  const Layout *layout_ = nullptr;
  const Box *box_ = nullptr;
  double *positions_ = nullptr;
  std::int32_t *images_ = nullptr;
};

/// The number of atoms must not change. @throws FrameFailure
void check_atom_count(std::size_t found, const Roster &roster);

/// An element must be text. @throws FrameFailure
void check_symbol(std::string_view element);

/// The finite number of a coordinate. @throws FrameFailure
void check_coordinate(double value, const std::string &column, const std::string &shown);

}  // namespace lpsmd
