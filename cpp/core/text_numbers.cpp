#include "core/text_numbers.h"

#include <algorithm>

namespace lpsmd {

std::string printable(std::string_view text)
{
  std::string out(text);
  std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return out;
}

std::string in_quotes(std::string_view text)
{
  constexpr std::size_t shown = 60;
  std::string quoted(1, '\'');
  quoted += printable(text.substr(0, shown));
  quoted += text.size() > shown ? "...'" : "'";
  return quoted;
}

std::vector<std::string_view> words_of(std::string_view line)
{
  std::vector<std::string_view> words;
  const char *p = line.data();
  const char *const end = p + line.size();
  for (auto word = next_word(p, end); !word.empty(); word = next_word(p, end)) words.push_back(word);
  return words;
}

bool plain_decimal(const char *&p, const char *end, double &value)
{
  const char *q = p;
  const bool negative = q != end && *q == '-';
  if (negative) ++q;
  std::uint64_t mantissa = 0;
  std::size_t digits = 0, fraction = 0;
  const auto take_digits = [&] {
    const char *const first = q;
    for (; q != end && *q >= '0' && *q <= '9' && digits <= 18; ++q, ++digits)
      mantissa = 10 * mantissa + static_cast<std::uint64_t>(*q - '0');
    return static_cast<std::size_t>(q - first);
  };
  take_digits();
  if (q != end && *q == '.') {
    ++q;
    fraction = take_digits();
  }
  if (digits == 0 || digits > 18 || mantissa > (std::uint64_t{1} << 53)) return false;
  if (q != end && !is_blank(*q)) return false;
  const double magnitude = static_cast<double>(mantissa) / powers_of_ten[fraction];
  value = negative ? -magnitude : magnitude;
  p = q;
  return true;
}

}  // namespace lpsmd
