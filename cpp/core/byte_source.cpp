#include "core/byte_source.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/error.h"

namespace lpsmd {

namespace {

class FileSource : public ByteSource {
 public:
  explicit FileSource(const std::string &path) : path_(path), file_(std::fopen(path.c_str(), "rb"))
  {
    if (!file_)
      throw Error(path + ": cannot be opened (" + std::strerror(errno) +
                  "); a LAMMPS dump is needed: check the path and whether the run has written it");
    std::setvbuf(file_.get(), nullptr, _IONBF, 0);
  }

  std::size_t read(std::span<char> target) override
  {
    const std::size_t got = std::fread(target.data(), 1, target.size(), file_.get());
    if (got < target.size() && std::ferror(file_.get()))
      throw Error(path_ + ": cannot be read (" + std::strerror(errno) + "); a LAMMPS dump is needed");
    return got;
  }

 private:
  struct Closer {
    void operator()(std::FILE *file) const { std::fclose(file); }
  };

  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
};

class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::span<const char> bytes) : left_(bytes) {}

  std::size_t read(std::span<char> target) override
  {
    const std::size_t size = std::min(target.size(), left_.size());
    std::copy_n(left_.begin(), size, target.begin());
    left_ = left_.subspan(size);
    return size;
  }

 private:
  std::span<const char> left_;
};

class CallbackSource : public ByteSource {
 public:
  explicit CallbackSource(std::function<std::size_t(std::span<char>)> read) : read_(std::move(read)) {}

  std::size_t read(std::span<char> target) override
  {
    std::size_t filled = 0;
    while (filled < target.size()) {
      const std::size_t got = read_(target.subspan(filled));
      if (got > target.size() - filled) throw Error("a byte source handed out more than was asked for");
      if (got == 0) break;
      filled += got;
    }
    return filled;
  }

 private:
  std::function<std::size_t(std::span<char>)> read_;
};

}  // namespace

std::unique_ptr<ByteSource> file_source(const std::string &path)
{
  return std::make_unique<FileSource>(path);
}

std::unique_ptr<ByteSource> memory_source(std::span<const char> bytes)
{
  return std::make_unique<MemorySource>(bytes);
}

std::unique_ptr<ByteSource> callback_source(std::function<std::size_t(std::span<char>)> read)
{
  return std::make_unique<CallbackSource>(std::move(read));
}

DumpInput file_input(const std::string &path)
{
  DumpInput input{path, [path] { return file_source(path); }};
  std::error_code unknown;
  const std::uintmax_t size = std::filesystem::file_size(path, unknown);
  if (!unknown) input.bytes = size;
  return input;
}

}  // namespace lpsmd
