#pragma once

#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// Words and numbers of a text, without locale and without allocation where it matters.
namespace lpsmd {

/// Bytes behind the end of a text that the fast functions below may read (and must find to be no digits).
constexpr std::size_t text_padding = 64;

/// File content as it may stand in a message: a damaged file holds bytes that are no text.
std::string printable(std::string_view text);

/// The same in quotes, shortened.
std::string in_quotes(std::string_view text);

inline bool is_blank(char c)
{
  return c == ' ' || c == '\t' || c == '\r';
}

/// The next word at `p`, empty at the end of the line; `p` moves behind it.
inline std::string_view next_word(const char *&p, const char *end)
{
  while (p != end && is_blank(*p)) ++p;
  const char *const begin = p;
  while (p != end && !is_blank(*p)) ++p;
  return {begin, static_cast<std::size_t>(p - begin)};
}

std::vector<std::string_view> words_of(std::string_view line);

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

/// Eight bytes as one word, the first byte lowest.
inline std::uint64_t eight_bytes(const char *p)
{
  std::uint64_t word;
  std::memcpy(&word, p, sizeof word);
  return word;
}

/// The value of eight decimal digits in one word; false if one is no digit.
inline bool eight_digits(std::uint64_t word, std::uint64_t &value)
{
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

/// The first `count` (1 to 8) bytes of `word` as digits, padded with zeros in front.
inline std::uint64_t leading_bytes(std::uint64_t word, unsigned count)
{
  constexpr std::uint64_t zeros = 0x3030303030303030;
  return count == 8 ? word : (word << (64 - 8 * count)) | (zeros >> (8 * count));
}

/// A number like -12.34567890 at `p` (1 to 7 digits, a point, 1 to 8 digits), whole words at a time and
/// correctly rounded: its digits are below 2^53, so the division by a power of ten is the only rounding.
/// Anything else is left alone (false). The text must be padded; `p` moves behind the number.
inline bool short_decimal(const char *&p, double &value)
{
  if constexpr (std::endian::native != std::endian::little) return false;
  constexpr std::uint64_t ones = 0x0101010101010101, high_bits = 0x8080808080808080;
  constexpr std::uint64_t sixes = 0x0606060606060606, high = 0xf0f0f0f0f0f0f0f0, zeros = 0x3030303030303030;
  const bool negative = *p == '-';
  const char *q = p + (negative ? 1 : 0);
  const std::uint64_t word = eight_bytes(q);
  const std::uint64_t points = word ^ (ones * '.');
  const std::uint64_t at_point = (points - ones) & ~points & high_bits;
  if (at_point == 0) return false;
  const auto before = static_cast<unsigned>(std::countr_zero(at_point)) / 8;
  std::uint64_t whole = 0, fraction = 0;
  if (before == 0 || !eight_digits(leading_bytes(word, before), whole)) return false;

  q += before + 1;
  const std::uint64_t decimals = eight_bytes(q);
  const std::uint64_t no_digit = ((decimals & high) ^ zeros) | (((decimals + sixes) & high) ^ zeros);
  const auto after = no_digit == 0 ? 8U : static_cast<unsigned>(std::countr_zero(no_digit)) / 8;
  if (after == 0 || !eight_digits(leading_bytes(decimals, after), fraction)) return false;
  q += after;
  if (!is_blank(*q) && *q != '\n') return false;
  constexpr std::array<std::uint64_t, 9> scale = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};
  const double magnitude = static_cast<double>(whole * scale[after] + fraction) / powers_of_ten[after];
  value = negative ? -magnitude : magnitude;
  p = q;
  return true;
}

/// A plain decimal number between `p` and `end`, correctly rounded as above; false for anything else
/// (exponent, more digits, no number), which is left to from_chars.
bool plain_decimal(const char *&p, const char *end, double &value);

}  // namespace lpsmd
