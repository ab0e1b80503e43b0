#include "core/dump_portions.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "core/dump_columns.h"
#include "core/error.h"
#include "core/text_numbers.h"

namespace lpsmd {

namespace {

// What the kind of a file is told from.
constexpr std::size_t head_bytes = 64;
// Portions that are parsed before a thread is worth starting.
constexpr std::size_t portions_alone = 2;
// What all portions that are read ahead may take, those being parsed and what parsing takes included; one portion is
// always under way, however large its frame. So memory beyond the trajectory is this and some times one frame.
constexpr std::size_t most_ahead_bytes = std::size_t{1} << 26;
// The reading thread does not keep more busy.
constexpr std::size_t most_threads = 64;
// A portion smaller than this grows twofold in search of the end of a frame, a larger one by a quarter.
constexpr std::size_t doubling_bytes = std::size_t{1} << 21;
// Text without a line end for so long is no text.
constexpr std::size_t longest_line_bytes = std::size_t{1} << 19;

std::size_t grown(std::size_t bytes)
{
  return bytes < doubling_bytes ? 2 * bytes : bytes + bytes / 4;
}

}  // namespace

// ---- portions -------------------------------------------------------------------------------------------

PortionCutter::PortionCutter(std::string name, std::unique_ptr<ByteSource> source, std::size_t portion_bytes) :
    name_(std::move(name)),
    source_(std::move(source)),
    portion_bytes_(std::max(portion_bytes, head_bytes))
{
}

/// Read on until `bytes` holds `until` or the source ends.
void PortionCutter::fill(std::vector<char> &bytes, std::size_t until)
{
  if (bytes.size() < until + text_padding) bytes.resize(until + text_padding);
  const std::size_t wanted = until - filled_;
  const std::size_t got = source_->read({bytes.data() + filled_, wanted});
  filled_ += got;
  at_end_ = got < wanted;
  std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(filled_), text_padding, '\0');
}

bool PortionCutter::next(Portion &portion)
{
  auto &bytes = portion.bytes;
  filled_ = carried_.size();
  if (bytes.size() < filled_ + text_padding) bytes.resize(filled_ + text_padding);
  std::copy(carried_.begin(), carried_.end(), bytes.begin());
  carried_.clear();
  std::size_t known = 0, whole = 0;
  for (std::size_t target = std::max(portion_bytes_, grown(filled_));; target = grown(filled_)) {
    const std::size_t before = filled_;
    if (!at_end_) fill(bytes, target);
    if (!started_) look_at_head(bytes);
    if (at_end_ || bad_) break;
    if (!binary_) check_lines(bytes, before);
    whole = cut(bytes, known);
    if (whole > 0) break;
    known = filled_;
  }
  const bool last = whole == 0;
  if (last) whole = filled_;
  if (filled_ == 0) return false;
  const char *const begin = bytes.data();
  std::size_t visible = whole;
  if (!last && !binary_) {
    const void *const newline = std::memchr(begin + whole, '\n', filled_ - whole);
    visible = static_cast<std::size_t>(static_cast<const char *>(newline) - begin) + 1;
  }
  portion.text = {begin, whole, visible, last};
  carried_.assign(begin + whole, begin + filled_);
  return true;
}

void PortionCutter::look_at_head(const std::vector<char> &bytes)
{
  started_ = true;
  const std::string_view head(bytes.data(), filled_);
  const bool gzip = head.starts_with("\x1f\x8b");
  if (gzip || head.starts_with("\x28\xb5\x2f\xfd"))
    throw Error(name_ + ": is compressed (" + (gzip ? "gzip" : "zstd") +
                "); uncompressed bytes are needed: decompress it first, for example with " +
                (gzip ? "gunzip -k" : "zstd -d"));
  binary_ = is_binary_dump({bytes.data(), filled_});
}

/// Garbage must not be read to its end, in search of a frame.
void PortionCutter::check_lines(const std::vector<char> &bytes, std::size_t from) const
{
  if (filled_ - from < longest_line_bytes) return;
  const char *const begin = bytes.data() + filled_ - longest_line_bytes;
  if (std::memchr(begin, '\n', longest_line_bytes) == nullptr) {
    const std::string_view before(bytes.data(), filled_);
    const auto lines = std::count(before.begin(), before.end(), '\n');
    throw Error(name_ + ", line " + std::to_string(lines + 1) + ": no end of line within " +
                std::to_string(longest_line_bytes) + " bytes; this is no text dump: write it with `" + write_columns +
                "`");
  }
}

std::size_t PortionCutter::cut(const std::vector<char> &bytes, std::size_t known)
{
  const std::span<const char> text(bytes.data(), filled_);
  if (!binary_) return last_text_frame(text, known);
  const std::size_t whole = whole_binary_frames(text, bad_);
  if (whole > 0) bad_ = false;  // the good frames first
  return whole;
}

// ---- threads --------------------------------------------------------------------------------------------

PortionPipeline::PortionPipeline(PortionCutter cutter, std::size_t threads) :
    cutter_(std::move(cutter)),
    threads_(std::clamp(threads, std::size_t{1}, most_threads))
{
}

PortionPipeline::~PortionPipeline()
{
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    to_do_.clear();
  }
  to_do_changed_.notify_all();
  for (std::thread &worker : workers_) worker.join();
}

const PortionText *PortionPipeline::first()
{
  if (ordered_.empty() && !at_end_) {
    auto portion = std::make_unique<Portion>();
    at_end_ = !cutter_.next(*portion);
    if (at_end_) return nullptr;
    ++n_read_;
    note_size(*portion);
    at_end_ = portion->text.last;
    ordered_.push_back(std::move(portion));
  }
  return ordered_.empty() ? nullptr : &ordered_.front()->text;
}

void PortionPipeline::start(MakeParser make_parser)
{
  make_parser_ = std::move(make_parser);
  own_parser_ = make_parser_();
}

void PortionPipeline::parse(FrameParser &parser, Portion &portion)
{
  try {
    parser.parse(portion.text, portion.parsed);
  } catch (...) {
    portion.broken = std::current_exception();
  }
}

void PortionPipeline::work(FrameParser &parser)
{
  std::unique_lock lock(mutex_);
  for (;;) {
    to_do_changed_.wait(lock, [&] { return stopping_ || !to_do_.empty(); });
    if (stopping_) return;
    Portion *const portion = to_do_.front();
    to_do_.pop_front();
    lock.unlock();
    parse(parser, *portion);
    lock.lock();
    portion->done = true;
    done_changed_.notify_one();
  }
}

/// Text, and about as much again for what is parsed and what a parser remembers of its lines.
void PortionPipeline::note_size(const Portion &portion)
{
  largest_bytes_ = std::max(largest_bytes_, portion.bytes.size() + portion.text.whole);
}

/// Workers for so many portions at once.
void PortionPipeline::start_workers(std::size_t portions)
{
  const std::size_t wanted = std::min(threads_ - 1, portions);
  while (workers_.size() < wanted) {
    const std::shared_ptr<FrameParser> parser = make_parser_();
    try {
      workers_.emplace_back([this, parser] { work(*parser); });
    } catch (const std::system_error &) {  // no more are to be had: those there are will do
      threads_ = workers_.size() + 1;
      return;
    }
  }
}

/// How many portions may be under way.
std::size_t PortionPipeline::most_ahead() const
{
  if (threads_ == 1 || n_read_ < portions_alone) return 1;
  return std::clamp(most_ahead_bytes / std::max(largest_bytes_, std::size_t{1}), std::size_t{1}, 2 * threads_);
}

/// Keep enough portions under way that no thread waits for the file.
void PortionPipeline::read_ahead()
{
  const bool alone = most_ahead() == 1;
  while (!at_end_ && ordered_.size() < (alone ? 1 : most_ahead())) {
    auto portion = spare_.empty() ? std::make_unique<Portion>() : std::move(spare_.back());
    if (!spare_.empty()) spare_.pop_back();
    portion->done = false;
    portion->queued = !alone;
    try {
      at_end_ = !cutter_.next(*portion);
    } catch (...) {
      source_failure_ = std::current_exception();
      at_end_ = true;
    }
    if (at_end_) break;
    ++n_read_;
    note_size(*portion);
    at_end_ = portion->text.last;
    if (!alone) {
      start_workers(most_ahead());
      {
        const std::lock_guard lock(mutex_);
        to_do_.push_back(portion.get());
      }
      to_do_changed_.notify_one();
    }
    ordered_.push_back(std::move(portion));
  }
}

std::unique_ptr<Portion> PortionPipeline::next()
{
  read_ahead();
  if (ordered_.empty() && source_failure_) std::rethrow_exception(source_failure_);
  if (ordered_.empty()) return nullptr;
  std::unique_ptr<Portion> portion = std::move(ordered_.front());
  ordered_.pop_front();
  std::unique_lock lock(mutex_);
  while (!portion->done) {
    // parse what nobody has begun, this portion first
    Portion *mine = nullptr;
    if (!portion->queued) {
      mine = portion.get();
    } else if (!to_do_.empty()) {
      mine = to_do_.front();
      to_do_.pop_front();
    }
    if (mine == nullptr) {
      done_changed_.wait(lock);
      continue;
    }
    lock.unlock();
    parse(*own_parser_, *mine);
    lock.lock();
    mine->done = true;
  }
  lock.unlock();
  if (portion->broken) std::rethrow_exception(portion->broken);
  return portion;
}

void PortionPipeline::give_back(std::unique_ptr<Portion> portion)
{
  spare_.push_back(std::move(portion));
}

}  // namespace lpsmd
