#pragma once

#include <string>

namespace lpsmd {

/// SHA-256 of a file's bytes (FIPS 180-4), 64 hexadecimal digits: what a restart knows its model by.
///
/// @throws Error if the file cannot be read.
std::string sha256_of_file(const std::string &path);

}  // namespace lpsmd
