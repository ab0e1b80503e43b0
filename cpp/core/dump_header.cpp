#include "core/dump_header.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "core/dump_box.h"
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

/// Start of the line that ends right before `at`; 0 at the start of the text.
std::size_t start_of_line_before(std::string_view text, std::size_t at)
{
  if (at < 2) return 0;
  const std::size_t newline = text.rfind('\n', at - 2);
  return newline == std::string_view::npos ? 0 : newline + 1;
}

}  // namespace

std::optional<std::int64_t> HeaderReader::start(Lines &lines)
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

std::size_t HeaderReader::rest(Lines &lines)
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

std::optional<std::int64_t> HeaderReader::single_number(std::string_view line)
{
  const char *p = line.data();
  const char *const end = p + line.size();
  const auto number = number_of<std::int64_t>(next_word(p, end));
  return next_word(p, end).empty() ? number : std::nullopt;
}

void HeaderReader::read_preamble(Lines &lines, std::string_view line)
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

void HeaderReader::read_box(Lines &lines)
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

Box HeaderReader::parse_box(Lines &lines)
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

void HeaderReader::read_columns(std::string_view header)
{
  if (layout_version_ > 0 && header == columns_text_) return;
  if (!header.starts_with("ITEM: ATOMS"))
    throw FrameFailure{"found " + in_quotes(header) + " where ITEM: ATOMS is needed; " + write_it()};
  const auto words = words_of(header);
  layout_ = plan_layout({words.begin() + std::min<std::ptrdiff_t>(2, std::ssize(words)), words.end()}, false, options_);
  columns_text_ = header;
  ++layout_version_;
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
