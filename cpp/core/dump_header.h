#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/dump_columns.h"
#include "core/dump_frame.h"
#include "core/text_lines.h"

namespace lpsmd {

/// Reads everything of a frame but its atoms, and remembers what seldom changes.
class HeaderReader {
 public:
  explicit HeaderReader(const DumpOptions &options) : options_(options) {}

  /// Up to and including the timestep; none where the portion ends between two frames.
  std::optional<std::int64_t> start(Lines &lines);

  /// The rest, up to the columns. @return the number of atoms
  std::size_t rest(Lines &lines);

  const Box &box() const { return box_; }
  const Layout &layout() const { return layout_; }
  /// Changes with every new layout.
  std::size_t layout_version() const { return layout_version_; }

 private:
  static std::optional<std::int64_t> single_number(std::string_view line);

  /// `dump_modify units yes` and `time yes` put two more items before the timestep.
  static void read_preamble(Lines &lines, std::string_view line);
  /// The four lines of the box; at constant volume they are those of the frame before, byte for byte.
  void read_box(Lines &lines);

  static Box parse_box(Lines &lines);

  void read_columns(std::string_view header);

  const DumpOptions &options_;
  Box box_;
  Layout layout_;
  std::string box_text_, columns_text_;
  std::size_t layout_version_ = 0;
};

}  // namespace lpsmd
