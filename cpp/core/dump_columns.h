#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/dump_frame.h"

namespace lpsmd {

/// The columns that a dump needs, as a user would write them.
constexpr const char *write_columns = "dump ... custom ... id element xu yu zu";

enum class Role : std::uint8_t { skip, id, type, element, coordinate, image };

struct Column {
  Role role = Role::skip;
  std::uint8_t axis = 0;
};

/// What the columns of a dump mean to us.
struct Layout {
  std::vector<std::string> names;
  std::vector<Column> columns;   ///< one for each name
  std::size_t used = 0;          ///< columns up to the last one needed
  std::size_t identity_end = 0;  ///< columns up to the last one that tells which atom this is
  std::size_t coordinates = 0;   ///< the first of three neighbouring coordinates x y z, 0 if they stand otherwise
  bool named_by_type = false;    ///< elements come from elements_of_types
  bool scaled = false;
  Images images = Images::rewrapped;
};

/// @param binary  binary dumps hold the type's number in column element
/// @throws FrameFailure if ids, elements or positions are missing
Layout plan_layout(std::vector<std::string> names, bool binary, const DumpOptions &options);

}  // namespace lpsmd
