#pragma once

#include <span>
#include <string>
#include <string_view>

namespace lpsmd {

/// The word of `known` with the smallest edit distance to `found` (upper and lower case alike).
std::string nearest_word(std::string_view found, std::span<const std::string> known);

/// "a, b, c"
std::string join(std::span<const std::string> words);

}  // namespace lpsmd
