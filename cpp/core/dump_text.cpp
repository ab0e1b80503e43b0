#include <algorithm>
#include <array>
#include <bit>
#include <string>
#include <string_view>
#include <utility>

#include "core/dump_columns.h"
#include "core/dump_header.h"
#include "core/dump_parser.h"
#include "core/text_lines.h"
#include "core/text_numbers.h"

namespace lpsmd {

namespace {

// ---- one atom's line ------------------------------------------------------------------------------------

std::string axis_name(const Column &column)
{
  return std::string(1, "xyz"[column.axis]);
}

double parse_coordinate(const char *&p, const char *end, const Layout &layout, std::size_t index)
{
  double value = 0.0;
  if (plain_decimal(p, end, value)) return value;
  const std::string_view word = next_word(p, end);
  const auto number = number_of<double>(word);
  if (!number)
    throw FrameFailure{"column " + layout.names[index] + " holds " + in_quotes(word) + ", a number is needed (axis " +
                       axis_name(layout.columns[index]) + "): the file is damaged here, write it again"};
  check_coordinate(*number, layout.names[index], in_quotes(word));
  return *number;
}

template <class Number> Number parse_whole(std::string_view word, const std::string &column)
{
  const auto number = number_of<Number>(word);
  if (!number)
    throw FrameFailure{"column " + column + " holds " + in_quotes(word) +
                       ", a whole number is needed: the file is damaged here, write it again"};
  return *number;
}

[[noreturn]] void fail_columns(std::size_t found, const Layout &layout)
{
  throw FrameFailure{"found " + std::to_string(found) + " columns, " + std::to_string(layout.columns.size()) +
                     " are needed: the file is damaged here, write it again"};
}

/// A column of elements must agree with the elements given for the types.
void check_named(const Atom &atom, const std::string &given)
{
  if (atom.name == given) return;
  throw FrameFailure{"type " + std::to_string(atom.type) + " is " + in_quotes(atom.name) +
                     " in column element and was named " + in_quotes(given) +
                     "; one element is needed: leave elements_of_types out, or give the elements of this dump"};
}

/// False for an atom that is not kept, whose line is then left unread behind the columns that tell this.
/// `identified` hears of every atom whose identity is known.
template <class KindOf, class Identified> bool parse_line(std::string_view line, const Layout &layout,
                                                          const AtomFilter &filter, Atom &atom, KindOf kind_of,
                                                          Identified identified)
{
  const char *p = line.data();
  const char *const end = p + line.size();
  for (std::size_t c = 0; c < layout.used; ++c) {
    while (p != end && is_blank(*p)) ++p;
    if (p == end) fail_columns(c, layout);
    const Column &column = layout.columns[c];
    switch (column.role) {
      case Role::coordinate:
        atom.position[column.axis] = parse_coordinate(p, end, layout, c);
        break;
      case Role::element:
        atom.name = next_word(p, end);
        if (!layout.named_by_type) kind_of(atom.name, atom);
        break;
      case Role::id:
        atom.id = parse_whole<std::int64_t>(next_word(p, end), layout.names[c]);
        break;
      case Role::type:
        atom.type = parse_whole<std::int64_t>(next_word(p, end), layout.names[c]);
        if (layout.named_by_type) atom.kind = filter.kind_of_type(atom.type);
        break;
      case Role::image:
        atom.image[column.axis] = parse_whole<std::int32_t>(next_word(p, end), layout.names[c]);
        break;
      case Role::skip:
        next_word(p, end);
        break;
    }
    if (c + 1 == layout.identity_end) {
      if (layout.named_by_type && !atom.name.empty()) check_named(atom, filter.elements()[atom.kind]);
      identified(atom);
      if (!filter.keeps(atom)) return false;
    }
  }
  std::size_t found = layout.used;
  while (!next_word(p, end).empty()) ++found;
  if (found != layout.columns.size()) fail_columns(found, layout);
  return true;
}

/// The next atom line of a frame.
std::string_view need_atom_line(Lines &lines, std::size_t i, std::size_t n_atoms)
{
  std::string_view line;
  if (!lines.next(line) || lines.unterminated())
    lines.fail_truncated(std::to_string(i) + " of " + std::to_string(n_atoms) + " atom lines are whole");
  if (line.starts_with("ITEM:"))
    throw FrameFailure{"the next frame starts after " + std::to_string(i) + " of " + std::to_string(n_atoms) +
                       " atom lines; whole frames are needed: two runs wrote this file or it was cut, run the replica "
                       "again"};
  return line;
}

// ---- all frames of a portion ----------------------------------------------------------------------------

/// What the k-th line of a frame starts with, up to its first coordinate. Dumps that LAMMPS sorts (and mostly
/// those it does not) start the same line of the next frame with the same bytes: the atom is then known
/// without parsing its id and element.
struct KnownLine {
  static constexpr std::uint32_t left_out = 0xffffffff;
  static constexpr std::size_t longest = 16;

  std::uint64_t low = 0, high = 0;
  std::uint32_t slot = 0;
  std::uint32_t length = 0;  ///< 0: nothing known

  static std::uint64_t mask(std::uint32_t bytes)
  {
    return bytes >= 8 ? ~std::uint64_t{0} : ~(~std::uint64_t{0} << (8 * bytes));
  }

  bool starts(const char *p) const
  {
    if (length <= 8) return length != 0 && ((eight_bytes(p) ^ low) & mask(length)) == 0;
    return eight_bytes(p) == low && ((eight_bytes(p + 8) ^ high) & mask(length - 8)) == 0;
  }

  void learn(const char *p, std::size_t bytes, std::uint32_t where)
  {
    length = bytes <= longest && std::endian::native == std::endian::little ? static_cast<std::uint32_t>(bytes) : 0;
    slot = where;
    low = eight_bytes(p);
    high = eight_bytes(p + 8);
  }
};

class TextParser : public FrameParser {
 public:
  TextParser(const DumpOptions &options, const Roster &roster) : roster_(roster), header_(options), placer_(roster) {}

  void parse(const PortionText &portion, ParsedPortion &out) override
  {
    out.clear();
    Lines lines(portion);
    std::optional<std::int64_t> timestep;
    std::size_t complete = 0;
    try {
      while ((timestep = header_.start(lines))) {
        const std::size_t n_atoms = header_.rest(lines);
        parse_atoms(lines, n_atoms, out);
        out.frames.push_back({*timestep, header_.box(), header_.layout().images, lines.number()});
        complete = lines.number();
        timestep.reset();
      }
    } catch (FrameFailure &failure) {
      out.failure = {std::move(failure), out.frames.size(), timestep, lines.number(), complete};
    }
    out.lines = lines.number();
  }

 private:
  void parse_atoms(Lines &lines, std::size_t n_atoms, ParsedPortion &out)
  {
    check_atom_count(n_atoms, roster_);
    prepare_known_lines();
    placer_.begin(header_.layout(), header_.box(), out);
    std::size_t kept = 0;
    for (std::size_t i = 0; i < n_atoms; ++i) {
      if (i < known_.size() && parse_known(lines, known_[i], kept)) continue;
      parse_unknown(lines, i, n_atoms, kept);
    }
    placer_.finish(kept);
  }

  /// Lines can be known if everything before the first coordinate tells who the atom is and nothing else.
  void prepare_known_lines()
  {
    if (header_.layout_version() == known_version_) return;
    known_version_ = header_.layout_version();
    known_.clear();
    const Layout &layout = header_.layout();
    can_know_ = layout.coordinates >= layout.identity_end;
    for (std::size_t c = 0; c < layout.coordinates; ++c) {
      const std::string &name = layout.names[c];
      can_know_ = can_know_ && (layout.columns[c].role != Role::skip || name == "type" || name == "element" ||
                                name == "mol" || name == "mass");
    }
    plain_ = !layout.scaled && layout.images != Images::flags;
    nothing_follows_ = layout.coordinates + 3 == layout.columns.size();
  }

  /// A line that starts as it did in the frame before and goes on as nearly all do; false leaves it unread.
  bool parse_known(Lines &lines, const KnownLine &known, std::size_t &kept)
  {
    const char *p = lines.position();
    if (!known.starts(p)) return false;
    p += known.length;
    if (known.slot == KnownLine::left_out) {
      const char *const next = after_line(p, lines.end());
      if (next == nullptr) return false;
      lines.skip_to(next);
      return true;
    }
    std::array<double, 3> x;
    if (!short_decimal(p, x[0]) || !next_number(p) || !short_decimal(p, x[1]) || !next_number(p) ||
        !short_decimal(p, x[2]))
      return false;
    std::array<std::int32_t, 3> image{};
    if (!nothing_follows_ && !parse_rest(p, image)) return false;
    if (*p == ' ') ++p;
    if (*p != '\n' || p >= lines.end()) return false;
    store(known.slot, x, image, kept++);
    lines.skip_to(p + 1);
    return true;
  }

  static bool next_number(const char *&p)
  {
    if (*p != ' ') return false;
    ++p;
    return true;
  }

  /// The columns behind the coordinates: images, and others that are counted only.
  bool parse_rest(const char *&p, std::array<std::int32_t, 3> &image) const
  {
    const Layout &layout = header_.layout();
    for (std::size_t c = layout.coordinates + 3; c < layout.columns.size(); ++c) {
      if (!next_number(p)) return false;
      const Column &column = layout.columns[c];
      if (column.role == Role::image) {
        if (!short_whole(p, image[column.axis])) return false;
      } else if (column.role == Role::skip) {
        const char *const first = p;
        while (*p > ' ') ++p;
        if (p == first) return false;
      } else {
        return false;
      }
    }
    return true;
  }

  static bool short_whole(const char *&p, std::int32_t &value)
  {
    const bool negative = *p == '-';
    const char *const first = p + (negative ? 1 : 0);
    const char *q = first;
    std::int32_t magnitude = 0;
    for (; *q >= '0' && *q <= '9' && q - first < 8; ++q) magnitude = 10 * magnitude + (*q - '0');
    if (q == first || (*q != ' ' && *q != '\n')) return false;
    value = negative ? -magnitude : magnitude;
    p = q;
    return true;
  }

  void store(std::uint32_t slot, const std::array<double, 3> &x, const std::array<std::int32_t, 3> &image,
             std::size_t kept)
  {
    if (plain_) {
      std::copy(x.begin(), x.end(), placer_.take(slot, kept));
      return;
    }
    Atom atom;
    atom.id = roster_.ids()[slot];
    atom.kind = roster_.kind(slot);
    atom.position = x;
    atom.image = image;
    placer_.place(atom, kept);
  }

  void parse_unknown(Lines &lines, std::size_t i, std::size_t n_atoms, std::size_t &kept)
  {
    const char *const begin = lines.position();
    const std::string_view line = need_atom_line(lines, i, n_atoms);
    Atom atom;
    const auto kind_of = [&](std::string_view word, Atom &of) {
      of.kind = roster_.filter().known_kind(word);
      of.name = word;
      if (of.kind == AtomFilter::none) check_symbol(word);
    };
    const bool keep = parse_line(line, header_.layout(), roster_.filter(), atom, kind_of, [](const Atom &) {});
    const std::size_t slot = keep ? placer_.place(atom, kept++) : KnownLine::left_out;
    if (can_know_) learn(begin, line, i, static_cast<std::uint32_t>(slot));
  }

  void learn(const char *begin, std::string_view line, std::size_t i, std::uint32_t slot)
  {
    const char *p = begin;
    const char *const end = begin + line.size();
    for (std::size_t c = 0; c < header_.layout().coordinates; ++c) next_word(p, end);
    while (p != end && is_blank(*p)) ++p;
    if (known_.size() <= i) known_.resize(i + 1);
    known_[i].learn(begin, static_cast<std::size_t>(p - begin), slot);
  }

  const Roster &roster_;
  HeaderReader header_;
  FramePlacer placer_;
  std::vector<KnownLine> known_;
  std::size_t known_version_ = 0;
  bool can_know_ = false, plain_ = false, nothing_follows_ = false;
};

}  // namespace

std::unique_ptr<FrameParser> text_parser(const DumpOptions &options, const Roster &roster)
{
  return std::make_unique<TextParser>(options, roster);
}

std::optional<Roster> text_roster(const PortionText &portion, const DumpOptions &options, ParsedPortion &failure)
{
  failure.clear();
  Lines lines(portion);
  HeaderReader header(options);
  AtomFilter filter(options);
  std::optional<std::int64_t> timestep;
  try {
    timestep = header.start(lines);
    if (!timestep) return std::nullopt;
    const std::size_t n_atoms = header.rest(lines);
    std::vector<Atom> kept;
    std::vector<std::string> present;
    std::vector<bool> seen;
    const auto kind_of = [&](std::string_view word, Atom &of) { of.kind = filter.kind_of(word); };
    const auto identified = [&](const Atom &atom) {
      seen.resize(filter.elements().size());
      if (seen[atom.kind]) return;
      seen[atom.kind] = true;
      present.push_back(filter.elements()[atom.kind]);
    };
    for (std::size_t i = 0; i < n_atoms; ++i) {
      Atom atom;
      if (parse_line(need_atom_line(lines, i, n_atoms), header.layout(), filter, atom, kind_of, identified))
        kept.push_back(atom);
    }
    return Roster(std::move(kept), std::move(filter), present, n_atoms, options);
  } catch (FrameFailure &found) {
    failure.failure = {std::move(found), 0, timestep, lines.number(), 0};
  }
  return std::nullopt;
}

}  // namespace lpsmd
