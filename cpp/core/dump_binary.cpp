#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "core/dump_box.h"
#include "core/dump_columns.h"
#include "core/dump_parser.h"
#include "core/text_numbers.h"

/// Binary custom dumps as LAMMPS writes them since 2020 (revision 1 and 2: DumpCustom::header_binary): numbers in
/// the byte order of the machine that wrote them, rows of doubles in one block for each rank that wrote.
namespace lpsmd {

namespace {

constexpr std::string_view magic = "DUMPCUSTOM";
constexpr std::int32_t own_byte_order = 1;
constexpr std::int32_t most_columns = 4096, longest_text = 1 << 16, most_blocks = 1 << 22;

/// The data end here; more may come.
struct NotThere {};

[[noreturn]] void fail_damaged(const std::string &what, std::int64_t found, const std::string &needed)
{
  throw FrameFailure{"the " + what + " is " + std::to_string(found) + ", " + needed +
                     " is needed: the file is damaged here, write it again"};
}

/// Reads numbers one after another.
class Bytes {
 public:
  explicit Bytes(std::span<const char> bytes) : bytes_(bytes) {}

  template <class T> T take()
  {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    std::memcpy(&value, take_bytes(sizeof(T)).data(), sizeof(T));
    return value;
  }

  template <class T> T take_between(const char *what, T low, T high)
  {
    const T value = take<T>();
    if (value < low || value > high)
      fail_damaged(what, value, "a number from " + std::to_string(low) + " to " + std::to_string(high));
    return value;
  }

  template <std::size_t N> std::array<double, N> take_numbers(const char *what)
  {
    const auto numbers = take<std::array<double, N>>();
    if (!std::all_of(numbers.begin(), numbers.end(), [](double x) { return std::isfinite(x); }))
      throw FrameFailure{std::string(what) +
                         " hold a number that is not finite; finite numbers are needed: the box was "
                         "lost or the file damaged, look at the log"};
    return numbers;
  }

  std::string_view take_text(const char *what)
  {
    const auto size = take_between<std::int32_t>(what, 0, longest_text);
    const auto text = take_bytes(static_cast<std::size_t>(size));
    return {text.data(), text.size()};
  }

  std::span<const char> take_bytes(std::size_t count)
  {
    if (bytes_.size() - at_ < count) throw NotThere{};
    const auto taken = bytes_.subspan(at_, count);
    at_ += count;
    return taken;
  }

  std::size_t position() const { return at_; }

 private:
  std::span<const char> bytes_;
  std::size_t at_ = 0;
};

struct Header {
  std::optional<std::int64_t> timestep;
  std::int64_t n_atoms = 0;
  std::int32_t n_columns = 0, n_blocks = 0;
  Box box;
  std::string_view columns;
};

void read_magic(Bytes &bytes)
{
  const auto length = bytes.take<std::int64_t>();
  constexpr std::string_view other_order =
      "this binary dump was written on a machine of another byte order; convert it there with `binary2txt`";
  // the length -10 of the name in the other order
  constexpr std::int64_t swapped = -std::int64_t{0x0900000000000001};
  if (length == swapped) throw FrameFailure{std::string(other_order)};
  if (length >= 0)
    throw FrameFailure{
        "this binary dump names no columns, as LAMMPS wrote them before 2021; column names are needed: "
        "convert it with the `binary2txt` of that version, or write a text dump"};
  if (length != -std::ssize(magic))
    fail_damaged("length of the format's name", length, std::to_string(-std::ssize(magic)));
  const auto name = bytes.take_bytes(magic.size());
  if (std::string_view(name.data(), name.size()) != magic)
    throw FrameFailure{"found " + in_quotes({name.data(), name.size()}) + " where " + std::string(magic) +
                       " is needed: write it with `dump ... custom ... FILE.bin`"};
  if (bytes.take<std::int32_t>() != own_byte_order) throw FrameFailure{std::string(other_order)};
  bytes.take_between<std::int32_t>("format's revision", 1, 2);
}

Box read_box(Bytes &bytes)
{
  const auto kind = bytes.take_between<std::int32_t>("kind of the cell", 0, 2);
  std::array<bool, 3> periodic{};
  const auto boundary = bytes.take<std::array<std::int32_t, 6>>();
  for (std::size_t k = 0; k < 3; ++k) periodic[k] = boundary[2 * k] == 0 && boundary[2 * k + 1] == 0;
  Box box;
  if (kind == 2) {
    const auto cell = bytes.take_numbers<9>("the cell vectors");
    box = general_box(cell, bytes.take_numbers<3>("the coordinates of the cell's corner"));
  } else {
    const auto bounds = bytes.take_numbers<6>("the bounds of the box");
    const auto tilts = kind == 1 ? bytes.take_numbers<3>("the tilts of the box") : std::array<double, 3>{};
    box = restricted_box({{{bounds[0], bounds[1]}, {bounds[2], bounds[3]}, {bounds[4], bounds[5]}}}, tilts);
  }
  box.periodic = periodic;
  return box;
}

void read_header(Bytes &bytes, Header &header)
{
  header.timestep.reset();
  read_magic(bytes);
  header.timestep = bytes.take<std::int64_t>();
  header.n_atoms = bytes.take<std::int64_t>();
  if (header.n_atoms < 1) fail_damaged("number of atoms", header.n_atoms, "a positive number");
  header.box = read_box(bytes);
  header.n_columns = bytes.take_between<std::int32_t>("number of columns", 1, most_columns);
  const std::string_view units = bytes.take_text("length of the units");
  if (!units.empty()) check_units(units);
  if (bytes.take<char>() != 0) bytes.take<double>();  // the time
  header.columns = bytes.take_text("length of the column names");
  header.n_blocks = bytes.take_between<std::int32_t>("number of blocks", 1, most_blocks);
}

/// The rows of the next block.
std::span<const char> take_block(Bytes &bytes, const Header &header)
{
  const auto count = bytes.take<std::int32_t>();
  if (count < 0 || count % header.n_columns != 0 || count / header.n_columns > header.n_atoms)
    fail_damaged("number of values in a block", count,
                 "a multiple of " + std::to_string(header.n_columns) + " for at most " +
                     std::to_string(header.n_atoms) + " atoms");
  return bytes.take_bytes(static_cast<std::size_t>(count) * sizeof(double));
}

/// Calls `row(values)` for each row of a frame. @return the number of rows
template <class Row> void for_each_row(Bytes &bytes, const Header &header, Row row)
{
  const auto row_bytes = static_cast<std::size_t>(header.n_columns) * sizeof(double);
  std::int64_t rows = 0;
  for (std::int32_t b = 0; b < header.n_blocks; ++b) {
    const auto block = take_block(bytes, header);
    for (std::size_t at = 0; at < block.size(); at += row_bytes, ++rows) row(block.data() + at);
  }
  if (rows != header.n_atoms)
    throw FrameFailure{"found " + std::to_string(rows) + " rows of " + std::to_string(header.n_atoms) +
                       " atoms; one row for each atom is needed: the file is damaged here, write it again"};
}

double value_at(const char *row, std::size_t column)
{
  double value;
  std::memcpy(&value, row + column * sizeof(double), sizeof value);
  return value;
}

std::int64_t whole_at(const char *row, std::size_t column, const Layout &layout, double largest)
{
  const double value = value_at(row, column);
  if (!(std::abs(value) <= largest) || value != std::floor(value))
    throw FrameFailure{"column " + layout.names[column] + " holds " + std::to_string(value) +
                       ", a whole number is needed: the file is damaged here, write it again"};
  return static_cast<std::int64_t>(value);
}

/// Who the atom of a row is.
void read_identity(const char *row, const Layout &layout, const AtomFilter &filter, Atom &atom)
{
  for (std::size_t c = 0; c < layout.identity_end; ++c) {
    if (layout.columns[c].role == Role::id) atom.id = whole_at(row, c, layout, 9007199254740992.0);
    if (layout.columns[c].role == Role::type) atom.type = whole_at(row, c, layout, 2147483647.0);
  }
  atom.kind = filter.kind_of_type(atom.type);
}

void read_position(const char *row, const Layout &layout, Atom &atom)
{
  for (std::size_t c = 0; c < layout.used; ++c) {
    const Column &column = layout.columns[c];
    if (column.role == Role::coordinate) {
      const double value = value_at(row, c);
      if (!std::isfinite(value)) check_coordinate(value, layout.names[c], in_quotes(std::to_string(value)));
      atom.position[column.axis] = value;
    } else if (column.role == Role::image) {
      atom.image[column.axis] = static_cast<std::int32_t>(whole_at(row, c, layout, 2147483647.0));
    }
  }
}

Layout layout_of(const Header &header, const DumpOptions &options)
{
  const auto words = words_of(header.columns);
  if (words.size() != static_cast<std::size_t>(header.n_columns))
    throw FrameFailure{"the columns are " + in_quotes(header.columns) + ", " + std::to_string(header.n_columns) +
                       " names are needed: the file is damaged here, write it again"};
  return plan_layout({words.begin(), words.end()}, true, options);
}

FrameFailure cut_short()
{
  return {"the file ends inside this frame, whole frames are needed: the run was interrupted, so finish or resume it",
          true};
}

/// The failure of a row, told with its number.
template <class Read> void in_row(std::size_t row, Read read)
{
  try {
    read();
  } catch (FrameFailure &failure) {
    failure.text = "row " + std::to_string(row) + ": " + failure.text;
    throw;
  }
}

class BinaryParser : public FrameParser {
 public:
  BinaryParser(const DumpOptions &options, const Roster &roster) : options_(options), roster_(roster), placer_(roster)
  {
  }

  void parse(const PortionText &portion, ParsedPortion &out) override
  {
    out.clear();
    Bytes bytes({portion.text, portion.whole});
    Header header;
    try {
      while (bytes.position() < portion.whole) {
        header.timestep.reset();
        parse_frame(bytes, header, out);
        out.frames.push_back({*header.timestep, header.box, layout_.images, bytes.position()});
      }
    } catch (FrameFailure &failure) {
      out.failure = {std::move(failure), out.frames.size(), header.timestep, 0, 0};
    } catch (NotThere) {
      out.failure = {cut_short(), out.frames.size(), header.timestep, 0, 0};
    }
  }

 private:
  void parse_frame(Bytes &bytes, Header &header, ParsedPortion &out)
  {
    read_header(bytes, header);
    check_atom_count(static_cast<std::size_t>(header.n_atoms), roster_);
    if (layout_.names.empty() || header.columns != columns_) {
      layout_ = layout_of(header, options_);
      columns_ = header.columns;
    }
    placer_.begin(layout_, header.box, out);
    std::size_t kept = 0, rows = 0;
    for_each_row(bytes, header, [&](const char *row) {
      in_row(++rows, [&] {
        Atom atom;
        read_identity(row, layout_, roster_.filter(), atom);
        if (!roster_.filter().keeps(atom)) return;
        read_position(row, layout_, atom);
        placer_.place(atom, kept++);
      });
    });
    placer_.finish(kept);
  }

  const DumpOptions &options_;
  const Roster &roster_;
  FramePlacer placer_;
  Layout layout_;
  std::string columns_;
};

}  // namespace

std::unique_ptr<FrameParser> binary_parser(const DumpOptions &options, const Roster &roster)
{
  return std::make_unique<BinaryParser>(options, roster);
}

std::optional<Roster> binary_roster(const PortionText &portion, const DumpOptions &options, ParsedPortion &failure)
{
  failure.clear();
  Bytes bytes({portion.text, portion.whole});
  Header header;
  try {
    read_header(bytes, header);
    const Layout layout = layout_of(header, options);
    AtomFilter filter(options);
    std::vector<Atom> kept;
    std::vector<std::string> present;
    std::vector<bool> seen(filter.elements().size());
    std::size_t rows = 0;
    for_each_row(bytes, header, [&](const char *row) {
      in_row(++rows, [&] {
        Atom atom;
        read_identity(row, layout, filter, atom);
        if (!seen[atom.kind]) present.push_back(filter.elements()[atom.kind]);
        seen[atom.kind] = true;
        if (filter.keeps(atom)) kept.push_back(atom);
      });
    });
    return Roster(std::move(kept), std::move(filter), present, static_cast<std::size_t>(header.n_atoms), options);
  } catch (FrameFailure &found) {
    failure.failure = {std::move(found), 0, header.timestep, 0, 0};
  } catch (NotThere) {
    failure.failure = {cut_short(), 0, header.timestep, 0, 0};
  }
  return std::nullopt;
}

std::size_t whole_binary_frames(std::span<const char> all, bool &bad)
{
  bad = false;
  Bytes bytes(all);
  std::size_t whole = 0;
  try {
    while (bytes.position() < all.size()) {
      Header header;
      read_header(bytes, header);
      for (std::int32_t b = 0; b < header.n_blocks; ++b) take_block(bytes, header);
      whole = bytes.position();
    }
  } catch (const FrameFailure &) {
    bad = true;
  } catch (NotThere) {
  }
  return whole;
}

bool is_binary_dump(std::span<const char> head)
{
  // text starts with printable bytes; a binary dump with a negative length or, before 2021, with its timestep
  if (head.size() < 16) return false;
  // whatever the byte order of the length before it
  if (std::string_view(head.data(), head.size()).substr(8).starts_with(magic)) return true;
  const auto high = head.subspan(5, 3);
  const auto all = [&](char byte) { return std::all_of(high.begin(), high.end(), [&](char c) { return c == byte; }); };
  const auto first = head.first(16);
  return all('\xff') || (all('\0') && std::any_of(first.begin(), first.end(), [](char c) { return c != '\0'; }));
}

}  // namespace lpsmd
