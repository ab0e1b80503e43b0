#include "core/dump_roster.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/text.h"
#include "core/text_numbers.h"

namespace lpsmd {

namespace {

constexpr std::size_t most_elements = 256;

template <class T> bool contains(const std::vector<T> &sorted, const T &value)
{
  return std::binary_search(sorted.begin(), sorted.end(), value);
}

/// Cartesian position of an atom of this layout, its images added where columns tell them.
std::array<double, 3> absolute(const Atom &atom, const Layout &layout, const Box &box)
{
  std::array<double, 3> out = atom.position;
  if (layout.scaled) {
    for (std::size_t k = 0; k < 3; ++k) {
      out[k] = box.origin[k];
      for (std::size_t v = 0; v < 3; ++v) out[k] += atom.position[v] * box.cell[3 * v + k];
    }
  }
  if (layout.images == Images::flags) {
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t v = 0; v < 3; ++v) out[k] += static_cast<double>(atom.image[v]) * box.cell[3 * v + k];
  }
  return out;
}

}  // namespace

// ---- which atoms ----------------------------------------------------------------------------------------

AtomFilter::AtomFilter(const DumpOptions &options) : keep_(options.keep)
{
  std::sort(keep_.types.begin(), keep_.types.end());
  std::sort(keep_.ids.begin(), keep_.ids.end());
  keeps_all_ = keep_.species.empty() && keep_.types.empty() && keep_.ids.empty();
  for (const std::string &element : options.elements_of_types) kind_of_type_.push_back(kind_of(element));
}

bool AtomFilter::wants(std::string_view element) const
{
  const auto &wanted = keep_.species;
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), element) != wanted.end();
}

std::size_t AtomFilter::known_kind(std::string_view element) const
{
  for (std::size_t i = 0; i < elements_.size(); ++i)
    if (elements_[i] == element) return i;
  return none;
}

std::size_t AtomFilter::kind_of(std::string_view element)
{
  const std::size_t known = known_kind(element);
  if (known != none) return known;
  check_symbol(element);
  if (elements_.size() == most_elements)
    throw FrameFailure{"more than " + std::to_string(most_elements) + " different elements, the last " +
                       in_quotes(element) +
                       "; the 'element' column must hold chemical symbols: set `dump_modify ... element Li P S Cl`"};
  elements_.emplace_back(element);
  kind_kept_.push_back(wants(element));
  return elements_.size() - 1;
}

std::size_t AtomFilter::kind_of_type(std::int64_t type) const
{
  if (type < 1 || static_cast<std::uint64_t>(type) > kind_of_type_.size())
    throw FrameFailure{"the type of an atom is " + std::to_string(type) + ", elements are given for types 1 to " +
                       std::to_string(kind_of_type_.size()) + ": name the element of every type, in order"};
  return kind_of_type_[static_cast<std::size_t>(type - 1)];
}

bool AtomFilter::keeps(const Atom &atom) const
{
  if (keeps_all_) return true;
  const bool kind = atom.kind == none ? wants(atom.name) : kind_kept_[atom.kind];
  return kind && (keep_.types.empty() || contains(keep_.types, atom.type)) &&
         (keep_.ids.empty() || contains(keep_.ids, atom.id));
}

// ---- the kept atoms -------------------------------------------------------------------------------------

Roster::Roster(std::vector<Atom> atoms, AtomFilter filter, std::span<const std::string> present,
               std::size_t atoms_in_file, const DumpOptions &options) :
    filter_(std::move(filter)),
    atoms_in_file_(atoms_in_file)
{
  for (const std::string &name : options.keep.species)
    if (std::find(present.begin(), present.end(), name) == present.end())
      throw FrameFailure{"no atom of element " + in_quotes(name) + "; found " + join(present) + ": choose among these"};
  std::sort(atoms.begin(), atoms.end(), [](const Atom &a, const Atom &b) { return a.id < b.id; });
  for (const Atom &atom : atoms) {
    if (!ids_.empty() && ids_.back() == atom.id)
      throw FrameFailure{"atom id " + std::to_string(atom.id) +
                         " occurs twice, each atom once is needed: run the replica again"};
    ids_.push_back(atom.id);
    kinds_.push_back(atom.kind);
  }
  for (const std::int64_t type : options.keep.types)
    if (std::none_of(atoms.begin(), atoms.end(), [&](const Atom &atom) { return atom.type == type; }))
      throw FrameFailure{"no atom of type " + std::to_string(type) +
                         " is left by the selections: choose among the types of the dump"};
  for (const std::int64_t id : options.keep.ids)
    if (!std::binary_search(ids_.begin(), ids_.end(), id))
      throw FrameFailure{"no atom of id " + std::to_string(id) +
                         " is left by the selections: choose among the ids of the dump"};
  if (ids_.empty()) throw FrameFailure{"no atom is in all of the selections: ask for fewer at once"};

  // a table of ids costs less than it saves where ids are nearly consecutive
  const auto span = static_cast<std::uint64_t>(ids_.back()) - static_cast<std::uint64_t>(ids_.front());
  if (span / 4 > std::max<std::size_t>(atoms_in_file, 4096)) return;
  table_.resize(static_cast<std::size_t>(span) + 1);
  for (std::size_t slot = 0; slot < ids_.size(); ++slot)
    table_[static_cast<std::size_t>(ids_[slot] - ids_.front())] = static_cast<std::uint32_t>(slot + 1);
}

std::size_t Roster::slot_of(std::int64_t id) const
{
  if (!table_.empty()) {
    const auto at = static_cast<std::uint64_t>(id) - static_cast<std::uint64_t>(ids_.front());
    return at < table_.size() && table_[at] != 0 ? table_[at] - 1 : none;
  }
  const auto at = std::lower_bound(ids_.begin(), ids_.end(), id);
  return at == ids_.end() || *at != id ? none : static_cast<std::size_t>(at - ids_.begin());
}

void check_atom_count(std::size_t found, const Roster &roster)
{
  if (found != roster.atoms_in_file())
    throw FrameFailure{"the number of atoms is " + std::to_string(found) + ", in the first frame it was " +
                       std::to_string(roster.atoms_in_file()) +
                       "; the same atoms are needed in every frame: look for lost atoms in the log"};
}

void check_symbol(std::string_view element)
{
  if (printable(element) != element)
    throw FrameFailure{"column element holds " + in_quotes(element) +
                       ", a chemical symbol is needed: the file is damaged here, write it again"};
}

void check_coordinate(double value, const std::string &column, const std::string &shown)
{
  if (!std::isfinite(value))
    throw FrameFailure{"column " + column + " holds " + shown +
                       ", a finite number is needed: the simulation blew up at or "
                       "before this step, so look at its log there and lower the timestep or check the model"};
}

// ---- one frame ------------------------------------------------------------------------------------------

void FramePlacer::begin(const Layout &layout, const Box &box, ParsedPortion &out)
{
  ++frame_stamp_;
  layout_ = &layout;
  box_ = &box;
  const std::size_t size = 3 * roster_.size();
  out.positions.resize(out.positions.size() + size);
  positions_ = out.positions.data() + out.positions.size() - size;
  images_ = nullptr;
  if (layout.images != Images::flags) return;
  out.images.resize(out.positions.size());
  images_ = out.images.data() + out.images.size() - size;
}

void FramePlacer::fail_twice(std::int64_t id) const
{
  throw FrameFailure{"atom id " + std::to_string(id) +
                     " occurs twice, each atom once is needed: run the replica again"};
}

double *FramePlacer::take(std::size_t slot, std::size_t kept)
{
  if (seen_in_[slot] == frame_stamp_) fail_twice(roster_.ids()[slot]);
  seen_in_[slot] = frame_stamp_;
  if (kept < slot_of_row_.size()) slot_of_row_[kept] = static_cast<std::uint32_t>(slot);
  return positions_ + 3 * slot;
}

std::size_t FramePlacer::place(const Atom &atom, std::size_t kept)
{
  // LAMMPS keeps the order of its atoms over many frames, so the previous frame nearly always tells the slot
  if (slot_of_row_.empty()) slot_of_row_.resize(roster_.size());
  const bool guessed = kept < slot_of_row_.size() && roster_.ids()[slot_of_row_[kept]] == atom.id;
  const std::size_t slot = guessed ? slot_of_row_[kept] : roster_.slot_of(atom.id);
  if (slot == Roster::none)
    throw FrameFailure{"atom id " + std::to_string(atom.id) + " is not among the " + std::to_string(roster_.size()) +
                       " atoms of the first frame; the same atoms are needed in every frame: is this file of the same "
                       "trajectory?"};
  double *const target = take(slot, kept);
  if (roster_.kind(slot) != atom.kind)
    throw FrameFailure{"atom id " + std::to_string(atom.id) + " is " +
                       in_quotes(atom.kind == AtomFilter::none ? atom.name : roster_.filter().elements()[atom.kind]) +
                       ", in the first frame it was " + in_quotes(roster_.element(slot)) +
                       "; elements must not change: is this file of the same trajectory?"};
  const std::array<double, 3> position = absolute(atom, *layout_, *box_);
  for (std::size_t k = 0; k < 3; ++k) {
    if (!std::isfinite(position[k]))
      throw FrameFailure{"atom id " + std::to_string(atom.id) +
                         " lies beyond what a number holds: positions in Angstrom are needed, look at the log"};
    target[k] = position[k];
  }
  if (images_ != nullptr) std::copy(atom.image.begin(), atom.image.end(), images_ + 3 * slot);
  return slot;
}

void FramePlacer::finish(std::size_t kept) const
{
  if (kept != roster_.size())
    throw FrameFailure{"found " + std::to_string(kept) + " of the " + std::to_string(roster_.size()) +
                       " atoms of the first frame; the same atoms are needed in every frame: look for lost atoms in "
                       "the log"};
}

}  // namespace lpsmd
