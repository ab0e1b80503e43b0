#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What the parts of the dump reader hand to each other.
namespace lpsmd {

/// A cell and where it lies; rows of `cell` are the vectors a, b, c in Angstrom.
struct Box {
  std::array<double, 9> cell{};
  std::array<double, 3> origin{};
  std::array<bool, 3> periodic = {true, true, true};
};

/// How the periodic images of a frame's positions become known.
enum class Images : std::uint8_t {
  flags,      ///< columns ix iy iz
  rewrapped,  ///< unwrapped columns: from where the atom lies
  nearest     ///< wrapped columns alone: the image nearest to the frame before (on request only)
};

/// One atom as its line says.
struct Atom {
  std::int64_t id = 0;
  std::int64_t type = 0;
  std::size_t kind = 0;   ///< index of its element
  std::string_view name;  ///< the element itself where it is not among those known
  std::array<double, 3> position{};
  std::array<std::int32_t, 3> image{};
};

/// What is wrong with one frame. The reader adds file, frame, timestep and line and makes it an Error.
struct FrameFailure {
  std::string text;
  bool truncated = false;  ///< the data end inside the frame
};

/// The same, with its place in its portion of the file.
struct PlacedFailure {
  FrameFailure what;
  std::size_t frame = 0;
  std::optional<std::int64_t> timestep;
  std::size_t line = 0;                ///< 0 in binary dumps
  std::size_t last_complete_line = 0;  ///< end of the last whole frame
};

struct FrameRecord {
  std::int64_t timestep = 0;
  Box box;
  Images images = Images::rewrapped;
  std::size_t end = 0;  ///< lines (bytes in binary dumps) of the portion up to the frame's end
};

/// The whole frames of one portion of a file: F frames of N kept atoms, in order of atom id.
struct ParsedPortion {
  std::vector<FrameRecord> frames;   ///< [F]
  std::vector<double> positions;     ///< [F, N, 3] unwrapped within the frame's own cell, wrapped if `nearest`
  std::vector<std::int32_t> images;  ///< [F, N, 3] where frames have flags, shorter or empty else
  std::size_t lines = 0;             ///< lines of the portion; 0 in binary dumps
  std::optional<PlacedFailure> failure;

  void clear()
  {
    frames.clear();
    positions.clear();
    images.clear();
    lines = 0;
    failure.reset();
  }
};

/// One portion of a file. `text` is padded with zeros; bytes between `whole` and `visible` are the first line
/// of the next portion, so that a frame that is too short is seen to run into it.
struct PortionText {
  const char *text = nullptr;
  std::size_t whole = 0;
  std::size_t visible = 0;
  bool last = false;  ///< nothing follows in the file
};

/// Which atoms to keep; an empty list keeps all, several lists keep what is in each of them.
struct DumpSelection {
  std::vector<std::string> species;
  std::vector<std::int64_t> types;
  std::vector<std::int64_t> ids;
};

struct DumpOptions {
  DumpSelection keep;
  std::vector<std::string> elements_of_types;  ///< element of type 1, 2, ...; empty: the dump has a column element
  bool unwrap = false;                         ///< take the nearest image where no column tells the image
  bool drop_truncated = false;                 ///< leave out a last frame that the file ends in
  std::size_t threads = 1;
  std::size_t portion_bytes = std::size_t{1} << 20;
};

}  // namespace lpsmd
