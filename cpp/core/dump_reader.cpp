#include "core/dump_reader.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "core/text.h"

namespace lpsmd {

namespace {

// A restart file holds positions exactly, so a repeated frame differs by what the dump's format rounds.
constexpr double repeat_tolerance_A = 1e-4;
constexpr std::size_t buffer_bytes = std::size_t{1} << 20;
constexpr std::size_t longest_line_bytes = buffer_bytes / 2;
constexpr std::size_t most_elements = 256;
constexpr const char *write_columns = "dump ... custom ... id element xu yu zu";

/// File content as it may stand in a message: a damaged file holds bytes that are no text.
std::string printable(std::string_view text)
{
  std::string out(text);
  std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

std::string in_quotes(std::string_view text)
{
  constexpr std::size_t shown = 60;
  return "'" + printable(text.substr(0, shown)) + (text.size() > shown ? "...'" : "'");
}

bool is_blank(char c)
{
  return c == ' ' || c == '\t' || c == '\r';
}

// ---- lines ----------------------------------------------------------------------------------------------

/// Lines of a file, read in blocks, so that memory is bounded and a file that shrinks cannot crash us.
class LineReader {
 public:
  explicit LineReader(const std::string &path);

  /// The next line without its newline, false at the end. The view lives until the next call.
  bool next(std::string_view &line);

  std::size_t line_number() const { return line_number_; }
  std::uintmax_t bytes_consumed() const { return consumed_; }
  std::uintmax_t file_bytes() const { return file_bytes_; }
  /// Whether the last line handed out lacked its newline: the file was cut inside it.
  bool unterminated() const { return unterminated_; }

 private:
  struct Closer {
    void operator()(std::FILE *file) const { std::fclose(file); }
  };

  void fill();

  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
  std::size_t line_number_ = 0;
  std::uintmax_t consumed_ = 0, file_bytes_ = 0;
  bool at_end_ = false, unterminated_ = false;
};

LineReader::LineReader(const std::string &path) :
    path_(path),
    file_(std::fopen(path.c_str(), "rb")),
    buffer_(buffer_bytes)
{
  if (!file_)
    throw Error(path + ": cannot be opened (" + std::strerror(errno) +
                "); a LAMMPS text dump is needed: check the path and whether the run has written it");
  std::setvbuf(file_.get(), nullptr, _IONBF, 0);
  std::error_code ignored;
  const std::uintmax_t size = std::filesystem::file_size(path, ignored);
  if (!ignored) file_bytes_ = size;

  fill();
  const std::string_view head(buffer_.data(), end_);
  if (head.starts_with("\x1f\x8b") || head.starts_with("\x28\xb5\x2f\xfd"))
    throw Error(path + ": is compressed (" + (head[0] == '\x1f' ? "gzip" : "zstd") +
                "); a plain text dump is needed: decompress it first, for example with " +
                (head[0] == '\x1f' ? "gunzip -k" : "zstd -d"));
}

void LineReader::fill()
{
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (end_ >= longest_line_bytes)
    throw Error(path_ + ", line " + std::to_string(line_number_ + 1) + ": no end of line within " +
                std::to_string(end_) + " bytes; this is no text dump: write it with `" + write_columns + "`");
  const std::size_t got = std::fread(buffer_.data() + end_, 1, buffer_.size() - end_, file_.get());
  if (got == 0 && std::ferror(file_.get()))
    throw Error(path_ + ": cannot be read (" + std::strerror(errno) + "); a LAMMPS text dump is needed");
  at_end_ = got == 0;
  end_ += got;
}

bool LineReader::next(std::string_view &line)
{
  for (;;) {
    const char *const begin = buffer_.data() + begin_;
    const std::size_t left = end_ - begin_;
    const void *const newline = left == 0 ? nullptr : std::memchr(begin, '\n', left);
    if (newline == nullptr && !at_end_) {
      fill();
      continue;
    }
    if (newline == nullptr && left == 0) return false;
    unterminated_ = newline == nullptr;
    const std::size_t length =
        unterminated_ ? left : static_cast<std::size_t>(static_cast<const char *>(newline) - begin);
    line = {begin, length};
    const std::size_t taken = length + (unterminated_ ? 0 : 1);
    begin_ += taken;
    consumed_ += taken;
    ++line_number_;
    return true;
  }
}

// ---- words and numbers ----------------------------------------------------------------------------------

/// The next word at `p`, empty at the end of the line; `p` moves behind it.
std::string_view next_word(const char *&p, const char *end)
{
  while (p != end && is_blank(*p)) ++p;
  const char *const begin = p;
  while (p != end && !is_blank(*p)) ++p;
  return {begin, static_cast<std::size_t>(p - begin)};
}

std::vector<std::string_view> words_of(std::string_view line)
{
  std::vector<std::string_view> words;
  const char *p = line.data();
  for (auto word = next_word(p, line.data() + line.size()); !word.empty();
       word = next_word(p, line.data() + line.size()))
    words.push_back(word);
  return words;
}

template <class Number> std::optional<Number> number_of(std::string_view word)
{
  // from_chars takes no plus sign
  if (word.size() > 1 && word[0] == '+' && word[1] != '-') word.remove_prefix(1);
  Number value{};
  const auto [stop, failure] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (failure != std::errc{} || stop != word.data() + word.size() || word.empty()) return std::nullopt;
  return value;
}

constexpr std::array<double, 23> powers_of_ten = [] {
  std::array<double, 23> powers{};
  double power = 1.0;
  for (double &p : powers) {
    p = power;
    power *= 10.0;
  }
  return powers;
}();

/// Eight decimal digits at once (bytes in one little-endian word), as dumps of %.8f end in.
bool eight_digits(const char *p, std::uint64_t &value)
{
  if constexpr (std::endian::native != std::endian::little) return false;
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  constexpr std::uint64_t sixes = 0x0606060606060606, high = 0xf0f0f0f0f0f0f0f0;
  if (((word & high) | (((word + sixes) & high) >> 4)) != 0x3333333333333333) return false;
  word -= 0x3030303030303030;
  word = word * 10 + (word >> 8);
  constexpr std::uint64_t pairs = 0x000000ff000000ff;
  value = ((word & pairs) * (100 + (std::uint64_t{1000000} << 32)) +
           ((word >> 16) & pairs) * (1 + (std::uint64_t{10000} << 32))) >>
          32;
  return true;
}

/// A plain decimal number at `p`, correctly rounded: digits below 2^53 over an exact power of ten need one
/// rounding, that of the division. Anything else (exponent, more digits, no number) is left to from_chars.
bool fast_decimal(const char *&p, const char *end, double &value)
{
  const char *q = p;
  const bool negative = q != end && *q == '-';
  if (negative) ++q;
  std::uint64_t mantissa = 0;
  const char *const first_digit = q;
  while (q != end && *q >= '0' && *q <= '9') mantissa = 10 * mantissa + static_cast<std::uint64_t>(*q++ - '0');
  std::ptrdiff_t digits = q - first_digit, fraction = 0;
  if (q != end && *q == '.') {
    const char *const first_decimal = ++q;
    std::uint64_t eight = 0;
    if (digits <= 8 && end - q >= 8 && eight_digits(q, eight)) {
      mantissa = 100000000 * mantissa + eight;
      q += 8;
    }
    while (q != end && *q >= '0' && *q <= '9') mantissa = 10 * mantissa + static_cast<std::uint64_t>(*q++ - '0');
    fraction = q - first_decimal;
    digits += fraction;
  }
  if (digits == 0 || digits > 18 || mantissa > (std::uint64_t{1} << 53)) return false;
  if (q != end && !is_blank(*q)) return false;
  const double magnitude = static_cast<double>(mantissa) / powers_of_ten[static_cast<std::size_t>(fraction)];
  value = negative ? -magnitude : magnitude;
  p = q;
  return true;
}

// ---- one frame's header ---------------------------------------------------------------------------------

enum class Role : std::uint8_t { skip, id, element, coordinate, image };

struct Column {
  Role role = Role::skip;
  std::uint8_t axis = 0;
};

struct Layout {
  std::string text;             ///< the ATOMS line this was made from
  std::vector<Column> columns;  ///< one per column
  std::vector<std::string> names;
  std::size_t used = 0;  ///< columns up to the last one needed
  bool has_images = false;
};

struct Box {
  std::array<double, 9> cell{};
  std::array<double, 3> origin{};
  std::array<bool, 3> periodic = {true, true, true};
};

struct Atom {
  std::int64_t id = 0;
  std::size_t element = 0;
  std::array<double, 3> position{};
  std::array<std::int64_t, 3> image{};
};

// ---- the reader -----------------------------------------------------------------------------------------

class DumpReader {
 public:
  explicit DumpReader(std::span<const std::string> species) : species_(species.begin(), species.end()) {}

  void read_file(const std::string &path);
  DumpTrajectory finish();

 private:
  bool read_frame();
  bool start_frame();
  void read_preamble(std::string_view line);
  Box read_box(std::string_view header);
  std::array<double, 4> box_numbers(std::size_t count, char axis);
  void plan_columns(std::string_view header);
  void read_atoms(std::size_t n_atoms);
  bool read_atom(std::string_view line, Atom &atom);
  double read_coordinate(const char *&p, const char *end, const Column &column, std::size_t index);
  std::size_t element_index(std::string_view name);

  void store_first_frame(const std::vector<Atom> &atoms);
  void store(const Atom &atom, std::size_t kept);
  std::size_t slot_of(const Atom &atom) const;
  void write_position(const Atom &atom, std::size_t slot);
  void accept_frame();
  void drop_repeat(std::size_t earlier);
  void reserve_for_file(std::uintmax_t frame_bytes);

  std::string_view need_line(const char *what);
  [[noreturn]] void fail(const std::string &text) const;
  [[noreturn]] void fail_truncated(const std::string &what) const;

  DumpTrajectory out_;
  std::vector<std::string> species_, element_names_;
  std::vector<bool> element_kept_;
  std::vector<std::size_t> element_of_slot_;
  std::vector<std::size_t> slot_of_line_;  ///< where the previous frame's k-th kept line went
  std::vector<std::uint64_t> seen_in_;     ///< frame in which each slot was filled last
  std::uint64_t frame_stamp_ = 0;
  bool has_atoms_ = false;

  std::optional<LineReader> lines_;
  std::string path_;
  Layout layout_;
  Box box_;
  std::size_t n_atoms_in_file_ = 0;
  std::size_t frame_ = 0;
  std::optional<std::int64_t> timestep_;
  std::size_t last_complete_line_ = 0;
};

void DumpReader::fail(const std::string &text) const
{
  std::string where = path_ + ", frame " + std::to_string(frame_);
  if (timestep_) where += " (timestep " + std::to_string(*timestep_) + ")";
  throw Error(where + ", line " + std::to_string(lines_->line_number()) + ": " + printable(text));
}

void DumpReader::fail_truncated(const std::string &what) const
{
  std::string text = "the file ends inside this frame (" + what +
                     "), whole frames are needed: the run was interrupted, so finish or resume it";
  if (last_complete_line_ > 0)
    text += ", or keep the whole frames with `head -n " + std::to_string(last_complete_line_) + "`";
  fail(text);
}

std::string_view DumpReader::need_line(const char *what)
{
  std::string_view line;
  if (!lines_->next(line)) fail_truncated(std::string("before ") + what);
  if (lines_->unterminated()) fail_truncated(std::string("inside ") + what);
  return line;
}

void DumpReader::read_file(const std::string &path)
{
  path_ = path;
  frame_ = 0;
  timestep_.reset();
  last_complete_line_ = 0;
  lines_.emplace(path);
  while (read_frame()) {
    if (frame_ == 0) reserve_for_file(lines_->bytes_consumed());
    ++frame_;
    timestep_.reset();
    last_complete_line_ = lines_->line_number();
  }
  if (frame_ == 0)
    throw Error(path + ": holds no frame; a LAMMPS text dump is needed: check that the run has started its dump");
}

/// Pages that are reserved and not written cost nothing, growing by copies would double the memory.
void DumpReader::reserve_for_file(std::uintmax_t frame_bytes)
{
  const auto frames = static_cast<std::size_t>(lines_->file_bytes() / std::max<std::uintmax_t>(frame_bytes, 1)) + 1;
  out_.positions.reserve(out_.positions.size() + frames * 3 * out_.ids.size());
}

bool DumpReader::read_frame()
{
  if (!start_frame()) return false;
  std::string_view line = need_line("ITEM: NUMBER OF ATOMS");
  if (!line.starts_with("ITEM: NUMBER OF ATOMS"))
    fail("found " + in_quotes(line) + " where ITEM: NUMBER OF ATOMS is needed; write the dump with `" +
         std::string(write_columns) + "`");
  line = need_line("the number of atoms");
  const auto words = words_of(line);
  const auto n_atoms = words.size() == 1 ? number_of<std::int64_t>(words[0]) : std::nullopt;
  if (!n_atoms || *n_atoms < 1)
    fail("the number of atoms is " + in_quotes(line) + ", a positive whole number is needed");
  box_ = read_box(need_line("ITEM: BOX BOUNDS"));
  plan_columns(need_line("ITEM: ATOMS"));
  read_atoms(static_cast<std::size_t>(*n_atoms));
  accept_frame();
  return true;
}

/// Up to and including the timestep; false where the file ends between two frames.
bool DumpReader::start_frame()
{
  std::string_view line;
  do {
    if (!lines_->next(line)) return false;
  } while (words_of(line).empty());
  while (!line.starts_with("ITEM: TIMESTEP")) {
    read_preamble(line);
    line = need_line("ITEM: TIMESTEP");
  }
  if (lines_->unterminated()) fail_truncated("inside ITEM: TIMESTEP");
  line = need_line("the timestep");
  const auto words = words_of(line);
  timestep_ = words.size() == 1 ? number_of<std::int64_t>(words[0]) : std::nullopt;
  if (!timestep_) fail("the timestep is " + in_quotes(line) + ", a whole number is needed");
  return true;
}

/// `dump_modify units yes` and `time yes` put two more items before the timestep.
void DumpReader::read_preamble(std::string_view line)
{
  if (lines_->unterminated() && std::string_view("ITEM: TIMESTEP").starts_with(line))
    fail_truncated("inside ITEM: TIMESTEP");
  if (line.starts_with("ITEM: TIME")) {
    need_line("the time");
    return;
  }
  if (!line.starts_with("ITEM: UNITS"))
    fail("found " + in_quotes(line) + " where ITEM: TIMESTEP is needed; a LAMMPS text dump is needed: write it with `" +
         std::string(write_columns) + "`");
  const std::string_view units = need_line("the units");
  if (!units.starts_with("metal") && !units.starts_with("real"))
    fail("the units are " + in_quotes(units) + ", lengths in Angstrom are needed: run with `units metal`");
}

std::array<double, 4> DumpReader::box_numbers(std::size_t count, char axis)
{
  const std::string_view line = need_line("the box bounds");
  const auto words = words_of(line);
  std::array<double, 4> numbers{};
  bool good = words.size() == count;
  for (std::size_t i = 0; good && i < count; ++i) {
    const auto number = number_of<double>(words[i]);
    good = number && std::isfinite(*number);
    if (good) numbers[i] = *number;
  }
  if (!good)
    fail("the bounds of the box in " + std::string(1, axis) + " are " + in_quotes(line) + ", " + std::to_string(count) +
         " finite numbers are needed; the box was lost or the file damaged: look at the log");
  return numbers;
}

Box DumpReader::read_box(std::string_view header)
{
  if (!header.starts_with("ITEM: BOX BOUNDS"))
    fail("found " + in_quotes(header) + " where ITEM: BOX BOUNDS is needed; write the dump with `" +
         std::string(write_columns) + "`");
  // need_line hands out views into the buffer: keep the header's words apart
  const std::string kept(header);
  auto words = words_of(kept);
  words.erase(words.begin(), words.begin() + 3);
  const bool tilted = words.size() >= 3 && words[0] == "xy" && words[1] == "xz" && words[2] == "yz";
  const bool general = words.size() >= 2 && words[0] == "abc" && words[1] == "origin";
  words.erase(words.begin(), words.begin() + (tilted ? 3 : general ? 2 : 0));

  Box box;
  if (words.size() == 3) {
    for (std::size_t k = 0; k < 3; ++k) box.periodic[k] = words[k] == "pp";
  } else if (!words.empty()) {
    fail("found " + in_quotes(kept) + ", ITEM: BOX BOUNDS with three boundaries is needed");
  }

  std::array<std::array<double, 4>, 3> rows{};
  for (std::size_t k = 0; k < 3; ++k) rows[k] = box_numbers(general ? 4 : tilted ? 3 : 2, "xyz"[k]);
  if (general) {
    for (std::size_t k = 0; k < 3; ++k) {
      std::copy_n(rows[k].begin(), 3, box.cell.begin() + static_cast<std::ptrdiff_t>(3 * k));
      box.origin[k] = rows[k][3];
    }
    return box;
  }
  // LAMMPS writes the bounding box of a tilted cell; the tilts take the cell's own bounds out of it
  const double xy = rows[0][2], xz = rows[1][2], yz = rows[2][2];
  if (tilted) {
    rows[0][0] -= std::min({0.0, xy, xz, xy + xz});
    rows[0][1] -= std::max({0.0, xy, xz, xy + xz});
    rows[1][0] -= std::min(0.0, yz);
    rows[1][1] -= std::max(0.0, yz);
  }
  for (std::size_t k = 0; k < 3; ++k) {
    if (!(rows[k][1] > rows[k][0]))
      fail("the box is empty in " + std::string(1, "xyz"[k]) + " (from " + std::to_string(rows[k][0]) + " to " +
           std::to_string(rows[k][1]) + "), an upper bound above the lower one is needed: look at the log");
    box.origin[k] = rows[k][0];
  }
  box.cell = {rows[0][1] - rows[0][0], 0, 0, xy, rows[1][1] - rows[1][0], 0, xz, yz, rows[2][1] - rows[2][0]};
  return box;
}

void DumpReader::plan_columns(std::string_view header)
{
  if (header == layout_.text) return;
  if (!header.starts_with("ITEM: ATOMS"))
    fail("found " + in_quotes(header) + " where ITEM: ATOMS is needed; write the dump with `" +
         std::string(write_columns) + "`");
  Layout layout;
  layout.text = header;
  const auto words = words_of(header);
  layout.names.assign(words.begin() + 2, words.end());
  layout.columns.resize(layout.names.size());

  const auto find = [&](std::string_view name) {
    return static_cast<std::size_t>(std::find(layout.names.begin(), layout.names.end(), name) - layout.names.begin());
  };
  const auto has_axes = [&](const std::array<const char *, 3> &names) {
    return std::all_of(names.begin(), names.end(), [&](auto n) { return find(n) < layout.names.size(); });
  };
  const auto assign = [&](std::string_view name, Role role, std::size_t axis) {
    const std::size_t at = find(name);
    layout.columns[at] = {role, static_cast<std::uint8_t>(axis)};
    layout.used = std::max(layout.used, at + 1);
  };

  constexpr std::array<const char *, 3> unwrapped = {"xu", "yu", "zu"}, wrapped = {"x", "y", "z"},
                                        images = {"ix", "iy", "iz"};
  const std::string found = "the columns are '" + join(layout.names) + "': ";
  if (find("id") == layout.names.size())
    fail(found + "'id' is missing, without which atoms cannot be followed: write the dump with `" + write_columns +
         "`");
  if (find("element") == layout.names.size())
    fail(found + "'element' is missing" +
         (find("type") < layout.names.size() ? " ('type' alone does not name the element)" : "") +
         ": write the dump with `" + write_columns + "` and `dump_modify ... element Li P S Cl` in order of types");
  const bool has_unwrapped = has_axes(unwrapped);
  if (!has_unwrapped && !(has_axes(wrapped) && has_axes(images))) {
    if (has_axes(wrapped))
      fail(found +
           "x y z are wrapped into the box and no image flags ix iy iz say where the atoms have gone, so no "
           "displacement can be told: write the dump with `" +
           write_columns + "`");
    fail(found + "no positions among them; 'xu yu zu' or 'x y z ix iy iz' are needed: write the dump with `" +
         write_columns + "`");
  }
  assign("id", Role::id, 0);
  assign("element", Role::element, 0);
  for (std::size_t k = 0; k < 3; ++k) {
    assign(has_unwrapped ? unwrapped[k] : wrapped[k], Role::coordinate, k);
    if (!has_unwrapped) assign(images[k], Role::image, k);
  }
  layout.has_images = !has_unwrapped;
  layout_ = std::move(layout);
}

std::size_t DumpReader::element_index(std::string_view name)
{
  for (std::size_t i = 0; i < element_names_.size(); ++i)
    if (element_names_[i] == name) return i;
  if (printable(name) != name)
    fail("column element holds " + in_quotes(name) +
         ", a chemical symbol is needed: the file is damaged here, write it again");
  if (element_names_.size() == most_elements)
    fail("more than " + std::to_string(most_elements) + " different elements, the last " + in_quotes(name) +
         "; the 'element' column must hold chemical symbols: set `dump_modify ... element Li P S Cl`");
  element_names_.emplace_back(name);
  element_kept_.push_back(species_.empty() || std::find(species_.begin(), species_.end(), name) != species_.end());
  return element_names_.size() - 1;
}

double DumpReader::read_coordinate(const char *&p, const char *end, const Column &column, std::size_t index)
{
  double value = 0.0;
  if (fast_decimal(p, end, value)) return value;
  const std::string_view word = next_word(p, end);
  const auto number = number_of<double>(word);
  const std::string &name = layout_.names[index];
  if (!number)
    fail("column " + name + " holds " + in_quotes(word) + ", a number is needed (axis " + "xyz"[column.axis] +
         "): the file is damaged here, write it again");
  if (!std::isfinite(*number))
    fail("column " + name + " holds " + in_quotes(word) +
         ", a finite number is needed: the simulation blew up at or "
         "before this step, so look at its log there and lower the timestep or check the model");
  return *number;
}

/// False for an atom that is not kept, whose line is then left unread.
bool DumpReader::read_atom(std::string_view line, Atom &atom)
{
  const char *p = line.data();
  const char *const end = p + line.size();
  for (std::size_t c = 0; c < layout_.used; ++c) {
    while (p != end && is_blank(*p)) ++p;
    if (p == end)
      fail("found " + std::to_string(c) + " columns, " + std::to_string(layout_.columns.size()) +
           " are needed: the file is damaged here, write it again");
    const Column &column = layout_.columns[c];
    switch (column.role) {
      case Role::coordinate:
        atom.position[column.axis] = read_coordinate(p, end, column, c);
        break;
      case Role::element:
        atom.element = element_index(next_word(p, end));
        if (!element_kept_[atom.element]) return false;
        break;
      case Role::skip:
        next_word(p, end);
        break;
      default: {
        const std::string_view word = next_word(p, end);
        const auto number = number_of<std::int64_t>(word);
        if (!number)
          fail("column " + layout_.names[c] + " holds " + in_quotes(word) +
               ", a whole number is needed: the file is damaged here, write it again");
        (column.role == Role::id ? atom.id : atom.image[column.axis]) = *number;
      }
    }
  }
  std::size_t found = layout_.used;
  while (!next_word(p, end).empty()) ++found;
  if (found != layout_.columns.size())
    fail("found " + std::to_string(found) + " columns, " + std::to_string(layout_.columns.size()) +
         " are needed: the file is damaged here, write it again");
  return true;
}

void DumpReader::read_atoms(std::size_t n_atoms)
{
  if (has_atoms_ && n_atoms != n_atoms_in_file_)
    fail("the number of atoms is " + std::to_string(n_atoms) + ", in the first frame it was " +
         std::to_string(n_atoms_in_file_) +
         "; the same atoms are needed in every frame: look for lost atoms in the log");
  n_atoms_in_file_ = n_atoms;
  ++frame_stamp_;

  std::vector<Atom> first_frame;
  std::size_t kept = 0;
  if (has_atoms_) out_.positions.resize(out_.positions.size() + 3 * out_.ids.size());
  for (std::size_t i = 0; i < n_atoms; ++i) {
    std::string_view line;
    if (!lines_->next(line) || lines_->unterminated())
      fail_truncated(std::to_string(i) + " of " + std::to_string(n_atoms) + " atom lines are whole");
    if (line.starts_with("ITEM:"))
      fail("the next frame starts after " + std::to_string(i) + " of " + std::to_string(n_atoms) +
           " atom lines; whole frames are needed: two runs wrote this file or it was cut, run the replica again");
    Atom atom;
    if (!read_atom(line, atom)) continue;
    if (has_atoms_)
      store(atom, kept);
    else
      first_frame.push_back(atom);
    ++kept;
  }
  if (!has_atoms_)
    store_first_frame(first_frame);
  else if (kept != out_.ids.size())
    fail("found " + std::to_string(kept) + " of the " + std::to_string(out_.ids.size()) +
         " atoms of the first frame; the same atoms are needed in every frame: look for lost atoms in the log");
}

void DumpReader::store_first_frame(const std::vector<Atom> &atoms)
{
  for (const std::string &name : species_)
    if (std::find(element_names_.begin(), element_names_.end(), name) == element_names_.end())
      fail("no atom of element " + in_quotes(name) + "; found " + join(element_names_) + ": choose among these");

  std::vector<std::size_t> order(atoms.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return atoms[a].id < atoms[b].id; });
  slot_of_line_.resize(atoms.size());
  seen_in_.assign(atoms.size(), frame_stamp_);
  out_.positions.resize(3 * atoms.size());
  for (std::size_t slot = 0; slot < order.size(); ++slot) {
    const Atom &atom = atoms[order[slot]];
    if (!out_.ids.empty() && out_.ids.back() == atom.id)
      fail("atom id " + std::to_string(atom.id) + " occurs twice, each atom once is needed: run the replica again");
    out_.ids.push_back(atom.id);
    out_.elements.push_back(element_names_[atom.element]);
    element_of_slot_.push_back(atom.element);
    slot_of_line_[order[slot]] = slot;
    write_position(atom, slot);
  }
  has_atoms_ = true;
}

std::size_t DumpReader::slot_of(const Atom &atom) const
{
  const auto at = std::lower_bound(out_.ids.begin(), out_.ids.end(), atom.id);
  if (at == out_.ids.end() || *at != atom.id)
    fail("atom id " + std::to_string(atom.id) + " is not among the " + std::to_string(out_.ids.size()) +
         " atoms of the first frame; the same atoms are needed in every frame: is this file of the same trajectory?");
  return static_cast<std::size_t>(at - out_.ids.begin());
}

void DumpReader::store(const Atom &atom, std::size_t kept)
{
  // LAMMPS keeps the order of its lines over many frames, so the previous frame nearly always tells the slot
  const bool same_line = kept < slot_of_line_.size() && out_.ids[slot_of_line_[kept]] == atom.id;
  const std::size_t slot = same_line ? slot_of_line_[kept] : slot_of(atom);
  if (!same_line && kept < slot_of_line_.size()) slot_of_line_[kept] = slot;
  if (seen_in_[slot] == frame_stamp_)
    fail("atom id " + std::to_string(atom.id) + " occurs twice, each atom once is needed: run the replica again");
  if (element_of_slot_[slot] != atom.element)
    fail("atom id " + std::to_string(atom.id) + " is " + in_quotes(element_names_[atom.element]) +
         ", in the first frame it was " + in_quotes(out_.elements[slot]) +
         "; elements must not change: is this file of the same trajectory?");
  seen_in_[slot] = frame_stamp_;
  write_position(atom, slot);
}

void DumpReader::write_position(const Atom &atom, std::size_t slot)
{
  // the frame being read is the last one
  double *const target = out_.positions.data() + out_.positions.size() - 3 * (seen_in_.size() - slot);
  for (std::size_t k = 0; k < 3; ++k) {
    double value = atom.position[k];
    if (layout_.has_images)
      for (std::size_t v = 0; v < 3; ++v) value += static_cast<double>(atom.image[v]) * box_.cell[3 * v + k];
    target[k] = value;
  }
}

void DumpReader::drop_repeat(std::size_t earlier)
{
  const std::size_t size = 3 * out_.ids.size();
  const double *const then = out_.positions.data() + earlier * size;
  const double *const now = out_.positions.data() + out_.positions.size() - size;
  std::size_t worst = 0;
  double difference = 0.0;
  for (std::size_t i = 0; i < size; ++i) {
    if (std::abs(now[i] - then[i]) > difference) {
      difference = std::abs(now[i] - then[i]);
      worst = i / 3;
    }
  }
  if (difference > repeat_tolerance_A)
    fail("this timestep was read before with other positions (atom id " + std::to_string(out_.ids[worst]) +
         " moved by " + std::to_string(difference) + " Angstrom, " + std::to_string(repeat_tolerance_A) +
         " is allowed); these files are not successive chunks of one trajectory: give the chunks of one replica, "
         "each starting from the last restart of the one before");
  out_.positions.resize(out_.positions.size() - size);
  ++out_.repeated_frames;
}

void DumpReader::accept_frame()
{
  auto &steps = out_.timesteps;
  const std::int64_t step = *timestep_;
  if (!steps.empty() && step <= steps.back()) {
    const auto at = std::lower_bound(steps.begin(), steps.end(), step);
    if (at == steps.end() || *at != step)
      fail("time goes backwards: the frame before has timestep " + std::to_string(steps.back()) +
           "; give the files of one trajectory in order of time, and one replica at a time");
    drop_repeat(static_cast<std::size_t>(at - steps.begin()));
    return;
  }
  if (steps.size() >= 2) {
    // as unsigned: garbage timesteps may be farther apart than int64 holds
    const auto gap = static_cast<std::uint64_t>(step) - static_cast<std::uint64_t>(steps.back());
    const auto interval = static_cast<std::uint64_t>(steps[1]) - static_cast<std::uint64_t>(steps[0]);
    if (gap != interval)
      fail("this frame comes " + std::to_string(gap) + " steps after the one before, the first two are " +
           std::to_string(interval) + " apart; equal intervals are needed: dump every N steps, and leave no chunk out");
  }
  steps.push_back(step);
  out_.cells.insert(out_.cells.end(), box_.cell.begin(), box_.cell.end());
  out_.origins.insert(out_.origins.end(), box_.origin.begin(), box_.origin.end());
  out_.periodic = box_.periodic;
}

DumpTrajectory DumpReader::finish()
{
  return std::move(out_);
}

}  // namespace

DumpTrajectory read_dump(std::span<const std::string> paths, std::span<const std::string> species)
{
  if (paths.empty()) throw Error("no dump file given; at least one is needed: name the dumps of the trajectory");
  DumpReader reader(species);
  for (const std::string &path : paths) reader.read_file(path);
  return reader.finish();
}

}  // namespace lpsmd
