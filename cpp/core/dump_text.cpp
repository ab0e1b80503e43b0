#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "core/dump_box.h"
#include "core/dump_columns.h"
#include "core/dump_parser.h"
#include "core/text_numbers.h"

namespace lpsmd {

namespace {

constexpr std::string_view start_item = "ITEM: TIMESTEP";

std::string write_it()
{
  return std::string("write the dump with `") + write_columns + "`";
}

/// Whether a line is this item and nothing else.
bool is_item(std::string_view line, std::string_view item)
{
  return line.starts_with(item) && line.find_first_not_of(" \t\r\n", item.size()) == std::string_view::npos;
}

/// The start of the next line, null if no line end comes before `end`. Lines of dumps are short, and 64 bytes
/// of padding allow looking 32 ahead without asking.
const char *after_line(const char *p, const char *end)
{
#if defined(__SSE2__)
  const __m128i newline = _mm_set1_epi8('\n');
  const auto found_in = [&](const char *at) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, newline)));
  };
  const unsigned found = found_in(p) | found_in(p + 16) << 16;
  if (found != 0) {
    const char *const next = p + std::countr_zero(found) + 1;
    return next <= end ? next : nullptr;
  }
#endif
  const void *const at = std::memchr(p, '\n', static_cast<std::size_t>(end - p));
  return at == nullptr ? nullptr : static_cast<const char *>(at) + 1;
}

// ---- lines ----------------------------------------------------------------------------------------------

/// Lines of one portion.
class Lines {
 public:
  explicit Lines(const PortionText &portion) :
      p_(portion.text),
      whole_(portion.text + portion.whole),
      end_(portion.text + portion.visible),
      last_(portion.last)
  {
  }

  /// Whether all frames of the portion are read.
  bool done() const { return p_ >= whole_; }
  const char *position() const { return p_; }
  const char *end() const { return end_; }
  std::size_t number() const { return number_; }
  bool unterminated() const { return unterminated_; }

  /// The next line without its newline, false at the end.
  bool next(std::string_view &line)
  {
    if (p_ >= end_) return false;
    const char *const after = after_line(p_, end_);
    unterminated_ = after == nullptr;
    const char *const stop = unterminated_ ? end_ : after - 1;
    line = {p_, static_cast<std::size_t>(stop - p_)};
    p_ = unterminated_ ? end_ : after;
    ++number_;
    return true;
  }

  std::string_view need(const char *what)
  {
    std::string_view line;
    if (!next(line)) fail_truncated(std::string("before ") + what);
    if (unterminated_) fail_truncated(std::string("inside ") + what);
    return line;
  }

  /// A caller has read a line on its own.
  void skip_to(const char *p)
  {
    p_ = p;
    ++number_;
  }

  [[noreturn]] void fail_truncated(const std::string &what) const
  {
    if (!last_)
      throw FrameFailure{"the next frame starts inside this one (" + what + "); whole frames are needed: " +
                         "two runs wrote this file or it was cut, run the replica again"};
    throw FrameFailure{"the file ends inside this frame (" + what +
                           "), whole frames are needed: the run was interrupted, so finish or resume it",
                       true};
  }

 private:
  const char *p_, *whole_, *end_;
  bool last_;
  std::size_t number_ = 0;
  bool unterminated_ = false;
};

// ---- one frame's header ---------------------------------------------------------------------------------

std::array<double, 4> box_numbers(std::string_view line, std::size_t count, char axis)
{
  const auto words = words_of(line);
  std::array<double, 4> numbers{};
  bool good = words.size() == count;
  for (std::size_t i = 0; good && i < count; ++i) {
    const auto number = number_of<double>(words[i]);
    good = number && std::isfinite(*number);
    if (good) numbers[i] = *number;
  }
  if (!good)
    throw FrameFailure{"the bounds of the box in " + std::string(1, axis) + " are " + in_quotes(line) + ", " +
                       std::to_string(count) +
                       " finite numbers are needed; the box was lost or the file damaged: look at the log"};
  return numbers;
}

/// The header and the reading of everything but the atoms.
class HeaderReader {
 public:
  struct Header {
    std::int64_t timestep = 0;
    std::size_t n_atoms = 0;
  };

  explicit HeaderReader(const DumpOptions &options) : options_(options) {}

  /// Up to and including the timestep; none where the portion ends between two frames.
  std::optional<std::int64_t> start(Lines &lines)
  {
    std::string_view line;
    do {
      if (lines.done() || !lines.next(line)) return std::nullopt;
    } while (words_of(line).empty());
    while (!line.starts_with(start_item)) {
      read_preamble(lines, line);
      line = lines.need("ITEM: TIMESTEP");
    }
    if (lines.unterminated()) lines.fail_truncated("inside ITEM: TIMESTEP");
    line = lines.need("the timestep");
    const auto step = single_number(line);
    if (!step) throw FrameFailure{"the timestep is " + in_quotes(line) + ", a whole number is needed"};
    return step;
  }

  /// The rest, up to the columns. @return the number of atoms
  std::size_t rest(Lines &lines)
  {
    std::string_view line = lines.need("ITEM: NUMBER OF ATOMS");
    if (!line.starts_with("ITEM: NUMBER OF ATOMS"))
      throw FrameFailure{"found " + in_quotes(line) + " where ITEM: NUMBER OF ATOMS is needed; " + write_it()};
    line = lines.need("the number of atoms");
    const auto n_atoms = single_number(line);
    if (!n_atoms || *n_atoms < 1)
      throw FrameFailure{"the number of atoms is " + in_quotes(line) + ", a positive whole number is needed"};
    read_box(lines);
    read_columns(lines.need("ITEM: ATOMS"));
    return static_cast<std::size_t>(*n_atoms);
  }

  const Box &box() const { return box_; }
  const Layout &layout() const { return layout_; }
  /// Changes with every new layout.
  std::size_t layout_version() const { return layout_version_; }

 private:
  static std::optional<std::int64_t> single_number(std::string_view line)
  {
    const char *p = line.data();
    const char *const end = p + line.size();
    const auto number = number_of<std::int64_t>(next_word(p, end));
    return next_word(p, end).empty() ? number : std::nullopt;
  }

  /// `dump_modify units yes` and `time yes` put two more items before the timestep.
  static void read_preamble(Lines &lines, std::string_view line)
  {
    if (lines.unterminated() && start_item.starts_with(line)) lines.fail_truncated("inside ITEM: TIMESTEP");
    if (is_item(line, "ITEM: TIME")) {
      const std::string_view time = lines.need("the time");
      const auto words = words_of(time);
      if (words.size() != 1 || !number_of<double>(words[0]))
        throw FrameFailure{"the time is " + in_quotes(time) + ", a number is needed: the file is damaged here"};
      return;
    }
    if (!is_item(line, "ITEM: UNITS"))
      throw FrameFailure{"found " + in_quotes(line) +
                         " where ITEM: TIMESTEP is needed; a LAMMPS text dump is needed: write it with `" +
                         write_columns + "`"};
    check_units(lines.need("the units"));
  }

  /// The four lines of the box; at constant volume they are those of the frame before, byte for byte.
  void read_box(Lines &lines)
  {
    const char *const begin = lines.position();
    const auto left = static_cast<std::size_t>(lines.end() - begin);
    if (!box_text_.empty() && left >= box_text_.size() && std::memcmp(begin, box_text_.data(), box_text_.size()) == 0) {
      for (int i = 0; i < 4; ++i) lines.need("the box");
      return;
    }
    box_text_.clear();
    box_ = parse_box(lines);
    box_text_.assign(begin, lines.position());
  }

  static Box parse_box(Lines &lines)
  {
    const std::string_view header = lines.need("ITEM: BOX BOUNDS");
    if (!header.starts_with("ITEM: BOX BOUNDS"))
      throw FrameFailure{"found " + in_quotes(header) + " where ITEM: BOX BOUNDS is needed; " + write_it()};
    auto words = words_of(header);
    words.erase(words.begin(), words.begin() + std::min<std::ptrdiff_t>(3, std::ssize(words)));
    const bool tilted = words.size() >= 3 && words[0] == "xy" && words[1] == "xz" && words[2] == "yz";
    const bool general = words.size() >= 2 && words[0] == "abc" && words[1] == "origin";
    words.erase(words.begin(), words.begin() + (tilted ? 3 : general ? 2 : 0));

    std::array<bool, 3> periodic = {true, true, true};
    if (words.size() == 3) {
      for (std::size_t k = 0; k < 3; ++k) periodic[k] = words[k] == "pp";
    } else if (!words.empty()) {
      throw FrameFailure{"found " + in_quotes(header) + ", ITEM: BOX BOUNDS with three boundaries is needed"};
    }
    std::array<std::array<double, 4>, 3> rows{};
    for (std::size_t k = 0; k < 3; ++k)
      rows[k] = box_numbers(lines.need("the box bounds"), general ? 4 : tilted ? 3 : 2, "xyz"[k]);
    const auto column = [&](std::size_t i) { return std::array<double, 3>{rows[0][i], rows[1][i], rows[2][i]}; };
    Box box;
    if (general) {
      std::array<double, 9> cell{};
      for (std::size_t i = 0; i < 9; ++i) cell[i] = rows[i / 3][i % 3];
      box = general_box(cell, column(3));
    } else {
      box = restricted_box({{{rows[0][0], rows[0][1]}, {rows[1][0], rows[1][1]}, {rows[2][0], rows[2][1]}}},
                           tilted ? column(2) : std::array<double, 3>{});
    }
    box.periodic = periodic;
    return box;
  }

  void read_columns(std::string_view header)
  {
    if (layout_version_ > 0 && header == columns_text_) return;
    if (!header.starts_with("ITEM: ATOMS"))
      throw FrameFailure{"found " + in_quotes(header) + " where ITEM: ATOMS is needed; " + write_it()};
    const auto words = words_of(header);
    layout_ =
        plan_layout({words.begin() + std::min<std::ptrdiff_t>(2, std::ssize(words)), words.end()}, false, options_);
    columns_text_ = header;
    ++layout_version_;
  }

  const DumpOptions &options_;
  Box box_;
  Layout layout_;
  std::string box_text_, columns_text_;
  std::size_t layout_version_ = 0;
};

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
        kind_of(next_word(p, end), atom);
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

/// Start of the line that ends right before `at`; 0 at the start of the text.
std::size_t start_of_line_before(std::string_view text, std::size_t at)
{
  if (at < 2) return 0;
  const std::size_t newline = text.rfind('\n', at - 2);
  return newline == std::string_view::npos ? 0 : newline + 1;
}

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

std::size_t last_text_frame(std::span<const char> text, std::size_t known)
{
  const std::string_view all(text.data(), text.size());
  const std::size_t last_newline = all.rfind('\n');
  if (last_newline == std::string_view::npos) return 0;
  const std::size_t from = known - std::min(known, start_item.size() + 1);
  if (last_newline < from) return 0;
  std::size_t found = all.substr(from, last_newline - from).rfind("\nITEM: TIMESTEP");
  if (found == std::string_view::npos) return 0;
  found += from;
  // `units` and `time` items before the timestep are of the same frame
  std::size_t start = found + 1;
  for (bool moved = true; moved;) {
    const std::size_t value = start_of_line_before(all, start);
    const std::size_t name = start_of_line_before(all, value);
    const std::string_view line = all.substr(name, value - name);
    moved = is_item(line, "ITEM: TIME") || is_item(line, "ITEM: UNITS");
    if (moved) start = name;
  }
  // blank lines alone are no frame
  return all.find_first_not_of(" \t\r\n") < start ? start : 0;
}

}  // namespace lpsmd
