#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace lpsmd {

/// Where bytes come from: a file, memory, or whatever a caller decompresses. Read once, from start to end.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  /// Fill `target` as far as possible; fewer bytes than asked for mean the end.
  /// @throws Error naming the source
  virtual std::size_t read(std::span<char> target) = 0;
};

/// A plain file, `path` opened here.
std::unique_ptr<ByteSource> file_source(const std::string &path);

/// Bytes that the caller keeps alive.
std::unique_ptr<ByteSource> memory_source(std::span<const char> bytes);

/// `read` fills as much as it has at hand, at least one byte unless it is at the end. Called by the thread
/// that reads the dump, never by a worker.
std::unique_ptr<ByteSource> callback_source(std::function<std::size_t(std::span<char>)> read);

/// A named source, opened when its turn comes.
struct DumpInput {
  std::string name;                                    ///< what errors call it
  std::function<std::unique_ptr<ByteSource>()> open;   ///< may throw Error
  std::optional<std::uintmax_t> bytes = std::nullopt;  ///< its size where that is known, to reserve memory
};

DumpInput file_input(const std::string &path);

}  // namespace lpsmd
