#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/dump_frame.h"
#include "core/dump_roster.h"

namespace lpsmd {

/// Parses portions of a dump; one for each thread, since it remembers the layout of the frames before.
class FrameParser {
 public:
  virtual ~FrameParser() = default;

  /// The whole frames of a portion. What is wrong goes into `out.failure`, after the frames before it.
  virtual void parse(const PortionText &portion, ParsedPortion &out) = 0;
};

std::unique_ptr<FrameParser> text_parser(const DumpOptions &options, const Roster &roster);
std::unique_ptr<FrameParser> binary_parser(const DumpOptions &options, const Roster &roster);

/// The atoms of a trajectory from its first frame, which is read once more with all others.
/// None if there is no frame or it is bad (`failure`).
std::optional<Roster> text_roster(const PortionText &portion, const DumpOptions &options, ParsedPortion &failure);
std::optional<Roster> binary_roster(const PortionText &portion, const DumpOptions &options, ParsedPortion &failure);

/// Where the last frame that starts inside `text` starts, if the line it starts with is whole and something is
/// before it; 0 else. `known` bytes at the front are known to hold no start.
std::size_t last_text_frame(std::span<const char> text, std::size_t known);

/// End of the last whole frame of `bytes`, 0 if the first one is not whole yet. `bad`: what follows is no
/// frame, so that more bytes would not help.
std::size_t whole_binary_frames(std::span<const char> bytes, bool &bad);

/// Whether a file that starts like this is a binary dump.
bool is_binary_dump(std::span<const char> head);

}  // namespace lpsmd
