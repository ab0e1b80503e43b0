#include "core/text.h"

#include <algorithm>
#include <cctype>
#include <numeric>
#include <vector>

namespace lpsmd {

namespace {

char lower(char c)
{
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

/// Levenshtein distance, one row at a time.
std::size_t edit_distance(std::string_view a, std::string_view b)
{
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row.back();
}

/// Smaller is nearer; a common first letter decides between equal distances.
std::size_t unlikeness(std::string_view found, std::string_view word)
{
  const bool same_start = !found.empty() && !word.empty() && lower(found[0]) == lower(word[0]);
  return 2 * edit_distance(found, word) + (same_start ? 0 : 1);
}

}  // namespace

std::string nearest_word(std::string_view found, std::span<const std::string> known)
{
  const auto best = std::min_element(known.begin(), known.end(), [&](const auto &a, const auto &b) {
    return unlikeness(found, a) < unlikeness(found, b);
  });
  return best == known.end() ? std::string() : *best;
}

std::string join(std::span<const std::string> words)
{
  std::string text;
  for (const auto &word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

}  // namespace lpsmd
