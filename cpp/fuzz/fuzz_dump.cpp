/// Fuzzing of the dump reader. The first bytes of an input choose the options, the rest is the dump (or two chunks
/// of one trajectory). Whatever the bytes: a trajectory of finite numbers, or an Error that names the input; and the
/// same whatever the portions it is cut into, with several threads, and in blocks.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/byte_source.h"
#include "core/dump_reader.h"
#include "core/error.h"

namespace {

using lpsmd::DumpTrajectory;

constexpr std::size_t header_bytes = 3;

/// Bits of the first three bytes of an input.
struct Choices {
  lpsmd::DumpOptions options;
  std::size_t threads = 1, portion_bytes = 0, frames_per_block = lpsmd::DumpReader::all_frames;
  bool two_chunks = false;
};

Choices choose(const std::uint8_t *bytes)
{
  Choices chosen;
  lpsmd::DumpOptions &options = chosen.options;
  options.unwrap = (bytes[0] & 1) != 0;
  options.drop_truncated = (bytes[0] & 2) != 0;
  if ((bytes[0] & 4) != 0) options.elements_of_types = {"Li", "P", "S", "Cl"};
  if ((bytes[0] & 8) != 0) options.keep.species = {"Li", "S"};
  if ((bytes[0] & 16) != 0) options.keep.types = {1};
  if ((bytes[0] & 32) != 0) options.keep.ids = {1, 2};
  chosen.two_chunks = (bytes[0] & 64) != 0;
  // threads cost a hundred times the parsing of a small input: one in sixteen
  if ((bytes[1] & 15) == 15) chosen.threads = 2 + bytes[1] / 128;
  options.portion_bytes = std::size_t{1} << 16;
  if ((bytes[1] & 16) != 0) chosen.portion_bytes = std::size_t{1} << (bytes[1] >> 5) * 2;
  if (bytes[2] != 0) chosen.frames_per_block = bytes[2];
  return chosen;
}

struct Outcome {
  DumpTrajectory trajectory;
  std::optional<std::string> error;
};

void append(DumpTrajectory &whole, const DumpTrajectory &block)
{
  const auto add = [](auto &to, const auto &from) { to.insert(to.end(), from.begin(), from.end()); };
  add(whole.timesteps, block.timesteps);
  add(whole.positions, block.positions);
  add(whole.cells, block.cells);
  whole.repeated_frames += block.repeated_frames;
  add(whole.truncated, block.truncated);
}

Outcome read(std::span<const char> bytes, const Choices &chosen,
             std::size_t most_frames = lpsmd::DumpReader::all_frames)
{
  std::vector<lpsmd::DumpInput> inputs;
  const std::size_t middle = chosen.two_chunks ? bytes.size() / 2 : bytes.size();
  for (const auto part : {bytes.first(middle), bytes.subspan(middle)}) {
    if (part.empty() && !inputs.empty()) continue;
    inputs.push_back({"input", [part] { return lpsmd::memory_source(part); }, part.size()});
  }
  Outcome outcome;
  try {
    lpsmd::DumpReader reader(std::move(inputs), chosen.options);
    for (;;) {
      const DumpTrajectory block = reader.read(most_frames);
      append(outcome.trajectory, block);
      if (most_frames == lpsmd::DumpReader::all_frames || block.timesteps.empty()) break;
    }
  } catch (const lpsmd::Error &error) {
    outcome.error = error.what();
  }
  return outcome;
}

void require(bool holds, const char *what)
{
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

void require_same(const Outcome &a, const Outcome &b, const char *what)
{
  if (a.error != b.error)
    std::fprintf(stderr, "one: %s\nother: %s\n", a.error.value_or("fine").c_str(), b.error.value_or("fine").c_str());
  require(a.error == b.error, what);
  if (a.error) return;
  require(a.trajectory.timesteps == b.trajectory.timesteps && a.trajectory.positions == b.trajectory.positions &&
              a.trajectory.cells == b.trajectory.cells &&
              a.trajectory.repeated_frames == b.trajectory.repeated_frames &&
              a.trajectory.truncated == b.trajectory.truncated,
          what);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
  if (size < header_bytes) return 0;
  const Choices chosen = choose(data);
  const std::span<const char> bytes(reinterpret_cast<const char *>(data) + header_bytes, size - header_bytes);
  const Outcome outcome = read(bytes, chosen);
  if (outcome.error) {
    require(outcome.error->starts_with("input"), "an error names its file");
  } else {
    for (const double x : outcome.trajectory.positions) require(std::isfinite(x), "positions are finite");
  }
  Choices other = chosen;
  if (chosen.portion_bytes > 0) {
    other.options.portion_bytes = chosen.portion_bytes;
    require_same(outcome, read(bytes, other), "portions change nothing");
  }
  if (chosen.threads > 1) {
    other.options.threads = chosen.threads;
    require_same(outcome, read(bytes, other), "threads change nothing");
  }
  if (chosen.frames_per_block != lpsmd::DumpReader::all_frames)
    require_same(outcome, read(bytes, other, chosen.frames_per_block), "blocks change nothing");
  return 0;
}
