#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/byte_source.h"
#include "core/dump_frame.h"
#include "core/dump_parser.h"

namespace lpsmd {

/// Some whole frames of a file, as bytes and parsed.
struct Portion {
  std::vector<char> bytes;
  PortionText text;
  ParsedPortion parsed;
  std::exception_ptr broken;  ///< not a failure of the data: memory, for example
  bool queued = false;        ///< for any thread to parse; else whoever takes it parses it
  bool done = false;
};

/// Cuts a source into portions that end between two frames. Memory is that of one portion, or of the largest
/// frame.
class PortionCutter {
 public:
  PortionCutter(std::string name, std::unique_ptr<ByteSource> source, std::size_t portion_bytes);

  /// False at the end. `portion` may be one that was used before: its memory is used again.
  bool next(Portion &portion);
  bool binary() const { return binary_; }

 private:
  void fill(std::vector<char> &bytes, std::size_t until);
  void look_at_head(const std::vector<char> &bytes);
  void check_lines(const std::vector<char> &bytes, std::size_t from) const;
  std::size_t cut(const std::vector<char> &bytes, std::size_t known);

  std::string name_;
  std::unique_ptr<ByteSource> source_;
  std::size_t portion_bytes_;
  std::vector<char> carried_;  ///< read already, of the next portion
  std::size_t filled_ = 0;
  bool started_ = false, at_end_ = false, binary_ = false, bad_ = false;
};

/// Parses the portions of one file on several threads and hands them out in order. The calling thread reads the
/// file, keeps a few portions ahead (64 MiB at most beyond the one it needs) and parses too while it would wait.
/// Short files never start a thread, and no file more than 64.
class PortionPipeline {
 public:
  using MakeParser = std::function<std::unique_ptr<FrameParser>()>;

  PortionPipeline(PortionCutter cutter, std::size_t threads);
  ~PortionPipeline();
  PortionPipeline(const PortionPipeline &) = delete;
  PortionPipeline &operator=(const PortionPipeline &) = delete;

  /// The first portion as bytes, null if the file is empty. Before `start`.
  const PortionText *first();
  bool binary() const { return cutter_.binary(); }
  void start(MakeParser make_parser);
  /// The next portion, parsed; null at the end. Give it back when it is done with.
  std::unique_ptr<Portion> next();
  void give_back(std::unique_ptr<Portion> portion);

 private:
  void read_ahead();
  void note_size(const Portion &portion);
  std::size_t most_ahead() const;
  void start_workers(std::size_t portions);
  void work(FrameParser &parser);
  static void parse(FrameParser &parser, Portion &portion);

  PortionCutter cutter_;
  std::size_t threads_;
  MakeParser make_parser_;
  std::unique_ptr<FrameParser> own_parser_;
  std::deque<std::unique_ptr<Portion>> ordered_;  ///< in order of the file, parsed or not
  std::vector<std::unique_ptr<Portion>> spare_;
  std::size_t n_read_ = 0, largest_bytes_ = 0;
  bool at_end_ = false;
  std::exception_ptr source_failure_;  ///< told when the portions before it are handed out

  std::mutex mutex_;
  std::condition_variable to_do_changed_, done_changed_;
  std::deque<Portion *> to_do_;
  bool stopping_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace lpsmd
