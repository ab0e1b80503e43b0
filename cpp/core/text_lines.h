#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "core/dump_frame.h"

namespace lpsmd {

/// The start of the next line, null if no line end comes before `end`. Lines of dumps are short, and 64 bytes
/// of padding allow looking 32 ahead without asking.
inline const char *after_line(const char *p, const char *end)
{
#if defined(__SSE2__)
  const __m128i newline = _mm_set1_epi8('\n');
  const auto found_in = [&](const char *at) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
    return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, newline)));
  };
  const unsigned found = found_in(p) | found_in(p + 16) << 16;
  if (found != 0) {
    const char *const next = p + std::countr_zero(found) + 1;
    return next <= end ? next : nullptr;
  }
#endif
  const void *const at = std::memchr(p, '\n', static_cast<std::size_t>(end - p));
  return at == nullptr ? nullptr : static_cast<const char *>(at) + 1;
}

/// Lines of one portion.
class Lines {
 public:
  explicit Lines(const PortionText &portion) :
      p_(portion.text),
      whole_(portion.text + portion.whole),
      end_(portion.text + portion.visible),
      last_(portion.last)
  {
  }

  /// Whether all frames of the portion are read.
  bool done() const { return p_ >= whole_; }
  const char *position() const { return p_; }
  const char *end() const { return end_; }
  std::size_t number() const { return number_; }
  bool unterminated() const { return unterminated_; }

  /// The next line without its newline, false at the end.
  bool next(std::string_view &line)
  {
    if (p_ >= end_) return false;
    const char *const after = after_line(p_, end_);
    unterminated_ = after == nullptr;
    const char *const stop = unterminated_ ? end_ : after - 1;
    line = {p_, static_cast<std::size_t>(stop - p_)};
    p_ = unterminated_ ? end_ : after;
    ++number_;
    return true;
  }

  std::string_view need(const char *what)
  {
    std::string_view line;
    if (!next(line)) fail_truncated(std::string("before ") + what);
    if (unterminated_) fail_truncated(std::string("inside ") + what);
    return line;
  }

  /// A caller has read a line on its own.
  void skip_to(const char *p)
  {
    p_ = p;
    ++number_;
  }

  [[noreturn]] void fail_truncated(const std::string &what) const
  {
    if (!last_)
      throw FrameFailure{"the next frame starts inside this one (" + what + "); whole frames are needed: " +
                         "two runs wrote this file or it was cut, run the replica again"};
    throw FrameFailure{"the file ends inside this frame (" + what +
                           "), whole frames are needed: the run was interrupted, so finish or resume it",
                       true};
  }

 private:
  const char *p_, *whole_, *end_;
  bool last_;
  std::size_t number_ = 0;
  bool unterminated_ = false;
};

}  // namespace lpsmd
