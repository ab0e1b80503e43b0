#include "core/dump_portions.h"

#include <algorithm>
#include <cstring>
#include <string_view>
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
// Text without a line end for so long is no text.
constexpr std::size_t longest_line_bytes = std::size_t{1} << 19;

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
  for (std::size_t target = std::max(portion_bytes_, 2 * filled_);; target = 2 * filled_) {
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
    threads_(std::max(threads, std::size_t{1}))
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

void PortionPipeline::start_workers()
{
  for (std::size_t i = 1; i < threads_; ++i)
    workers_.emplace_back([this, parser = std::shared_ptr<FrameParser>(make_parser_())] { work(*parser); });
}

/// Keep enough portions under way that no thread waits for the file.
void PortionPipeline::read_ahead()
{
  const bool alone = threads_ == 1 || n_read_ < portions_alone;
  const std::size_t most = alone ? 1 : 2 * threads_;
  while (!at_end_ && ordered_.size() < most) {
    auto portion = spare_.empty() ? std::make_unique<Portion>() : std::move(spare_.back());
    if (!spare_.empty()) spare_.pop_back();
    portion->done = false;
    try {
      at_end_ = !cutter_.next(*portion);
    } catch (...) {
      source_failure_ = std::current_exception();
      at_end_ = true;
    }
    if (at_end_) break;
    ++n_read_;
    at_end_ = portion->text.last;
    if (!alone) {
      if (workers_.empty()) start_workers();
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
    if (workers_.empty()) {
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
