#include "core/dump_reader.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <mutex>
#include <optional>
#include <span>
#include <utility>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/dump_parser.h"
#include "core/dump_portions.h"
#include "core/dump_roster.h"
#include "core/error.h"
#include "core/text_numbers.h"
#include "core/unwrap.h"

namespace lpsmd {

namespace {

// A restart file holds positions exactly, so a repeated frame differs by what the dump's format rounds: LAMMPS' own %g
// keeps six digits of coordinates, half a unit of the last one in each of two frames.
constexpr double repeat_tolerance_A = 1e-4, repeat_tolerance_relative = 1e-5;
// Atoms that are compared of frames that are not remembered whole.
constexpr std::size_t most_sampled_atoms = 4;
// Frames kept to compare repeated ones with, where the trajectory itself is not at hand for that.
constexpr std::size_t most_remembered_bytes = std::size_t{1} << 26;

constexpr std::int64_t most_steps = std::int64_t{1} << 62;

/// Filling fresh memory page by page takes a third of the reading time; pages of 2 MB where there are some.
void ask_for_large_pages(const std::vector<double> &reserved)
{
#if defined(__linux__)
  constexpr std::uintptr_t page = std::uintptr_t{1} << 21;
  const auto begin = (reinterpret_cast<std::uintptr_t>(reserved.data()) + page - 1) / page * page;
  const auto end = reinterpret_cast<std::uintptr_t>(reserved.data() + reserved.capacity()) / page * page;
  if (end > begin) madvise(reinterpret_cast<void *>(begin), end - begin, MADV_HUGEPAGE);
#else
  (void)reserved;
#endif
}

double allowed_difference(double length)
{
  return repeat_tolerance_A + repeat_tolerance_relative * length;
}

/// Positions of the last frames as they stood in their own cell, for the check of repeated frames; of frames before
/// them, those of a few atoms.
class RecentFrames {
 public:
  void add(std::size_t frame, std::span<const double> positions)
  {
    std::vector<double> kept;
    const std::size_t bytes = positions.size_bytes();
    while (!frames_.empty() && (frames_.size() + 1) * bytes > most_remembered_bytes) {
      kept = std::move(frames_.front().second);
      frames_.pop_front();
    }
    kept.assign(positions.begin(), positions.end());
    frames_.emplace_back(frame, std::move(kept));
    if (!first_sampled_) {
      first_sampled_ = frame;
      const std::size_t n_atoms = positions.size() / 3, count = std::min(n_atoms, most_sampled_atoms);
      for (std::size_t i = 0; i < count; ++i) sampled_atoms_.push_back(i * n_atoms / count);
    }
    for (const std::size_t atom : sampled_atoms_)
      for (std::size_t k = 0; k < 3; ++k) samples_.push_back(positions[3 * atom + k]);
  }

  bool knows(std::size_t frame) const { return first_sampled_ && frame >= *first_sampled_; }
  std::span<const std::size_t> sampled_atoms() const { return sampled_atoms_; }
  std::span<const double> sample(std::size_t frame) const
  {
    const std::size_t size = 3 * sampled_atoms_.size();
    return std::span(samples_).subspan((frame - *first_sampled_) * size, size);
  }

  /// Empty if it was too long ago.
  std::span<const double> find(std::size_t frame) const
  {
    if (frames_.empty() || frame < frames_.front().first || frame > frames_.back().first) return {};
    return frames_[frame - frames_.front().first].second;
  }

 private:
  std::deque<std::pair<std::size_t, std::vector<double>>> frames_;
  std::optional<std::size_t> first_sampled_;
  std::vector<std::size_t> sampled_atoms_;
  std::vector<double> samples_;  ///< [frames from first_sampled_ on, atoms, 3]
};

}  // namespace

class DumpReader::State {
 public:
  State(std::vector<DumpInput> inputs, DumpOptions options) : inputs_(std::move(inputs)), options_(std::move(options))
  {
    if (inputs_.empty()) throw Error("no dump file given; at least one is needed: name the dumps of the trajectory");
  }

  DumpTrajectory read(std::size_t most_frames)
  {
    const std::unique_lock lock(reading_, std::try_to_lock);
    if (!lock) throw Error(name_of_all() + ": is being read by another thread; one reader for each thread is needed");
    if (failed_)
      throw Error(name_of_all() +
                  ": reading it failed before and cannot go on; mend what was said then and open it "
                  "again");
    failed_ = true;
    DumpTrajectory found = read_on(most_frames);
    failed_ = false;
    return found;
  }

 private:
  /// The first input, as it stays while the others are read.
  const std::string &name_of_all() const { return inputs_.front().name; }

  DumpTrajectory read_on(std::size_t most_frames)
  {
    out_ = {};
    block_begin_ = steps_.size();
    in_blocks_ = in_blocks_ || most_frames != all_frames;
    most_frames_ = most_frames;
    while (out_.timesteps.size() < most_frames && (pipeline_ || open_next())) read_some();
    if (roster_) describe_atoms();
    return std::move(out_);
  }

  bool open_next();
  bool open(const DumpInput &input);
  bool find_atoms(const PortionText &portion);
  void read_some();
  void finish_portion();
  void finish_file();
  void accept(std::size_t index);
  void check_same_images(Images images) const;
  void drop_repeat(std::size_t earlier, const FrameRecord &frame, std::span<const double> positions);
  std::span<const double> positions_before(std::size_t frame) const;
  const Box &box_before(std::size_t frame) const;
  void check_boundaries(const FrameRecord &frame) const;
  void check_same_cell(const Box &then, const FrameRecord &frame) const;
  void append(const FrameRecord &frame, std::span<double> positions, std::span<const std::int32_t> images);
  void reserve();
  void describe_atoms();
  void report(const PlacedFailure &failure);
  [[noreturn]] void fail(const FrameRecord &frame, const std::string &text) const;
  std::string place_of(std::size_t frame, std::optional<std::int64_t> timestep, std::size_t line) const;

  std::vector<DumpInput> inputs_;
  DumpOptions options_;
  std::mutex reading_;
  bool failed_ = false;
  std::optional<Roster> roster_;
  Unwrapper unwrapper_;
  RecentFrames recent_;
  std::vector<std::int64_t> steps_;                 ///< of all frames so far, those of earlier blocks too
  std::vector<std::pair<std::size_t, Box>> boxes_;  ///< with the frame from which on it was this one
  std::optional<Images> images_;

  DumpTrajectory out_;
  std::size_t block_begin_ = 0;  ///< frame of the trajectory that the block starts with
  std::size_t most_frames_ = all_frames;
  bool in_blocks_ = false;

  std::size_t next_input_ = 0;
  std::string name_;
  std::unique_ptr<PortionPipeline> pipeline_;
  std::unique_ptr<Portion> portion_;
  std::size_t next_frame_ = 0;                        ///< of the portion
  std::size_t frames_before_ = 0, lines_before_ = 0;  ///< of the file, before the portion
};

// ---- files and portions ---------------------------------------------------------------------------------

/// Opens the next file that holds frames; false behind the last one.
bool DumpReader::State::open_next()
{
  while (next_input_ < inputs_.size())
    if (open(inputs_[next_input_++])) return true;
  if (!roster_)
    throw Error(name_ + ": holds no whole frame; a LAMMPS dump is needed: check that the run has written its dump");
  return false;
}

bool DumpReader::State::open(const DumpInput &input)
{
  name_ = input.name;
  frames_before_ = lines_before_ = 0;
  PortionCutter cutter(input.name, input.open(), options_.portion_bytes);
  pipeline_ = std::make_unique<PortionPipeline>(std::move(cutter), options_.threads);
  const PortionText *const first = pipeline_->first();
  if (first == nullptr || (!roster_ && !find_atoms(*first))) {
    finish_file();
    return false;
  }
  const bool binary = pipeline_->binary();
  pipeline_->start(
      [this, binary] { return binary ? binary_parser(options_, *roster_) : text_parser(options_, *roster_); });
  return true;
}

/// The atoms are those of the first frame; false if it is not whole and may be left out.
bool DumpReader::State::find_atoms(const PortionText &portion)
{
  ParsedPortion none;
  std::optional<Roster> found =
      pipeline_->binary() ? binary_roster(portion, options_, none) : text_roster(portion, options_, none);
  if (none.failure) report(*none.failure);
  if (found) roster_.emplace(std::move(*found));
  return roster_.has_value();
}

/// Frames up to the end of the portion or of the block.
void DumpReader::State::read_some()
{
  if (!portion_) {
    portion_ = pipeline_->next();
    next_frame_ = 0;
    if (!portion_) return finish_file();
  }
  const auto &frames = portion_->parsed.frames;
  while (next_frame_ < frames.size() && out_.timesteps.size() < most_frames_) accept(next_frame_++);
  if (next_frame_ == frames.size()) finish_portion();
}

void DumpReader::State::finish_portion()
{
  const ParsedPortion &parsed = portion_->parsed;
  if (parsed.failure) report(*parsed.failure);
  frames_before_ += parsed.frames.size();
  lines_before_ += parsed.lines;
  pipeline_->give_back(std::move(portion_));
}

void DumpReader::State::finish_file()
{
  pipeline_.reset();
  if (frames_before_ == 0 && !options_.drop_truncated)
    throw Error(name_ + ": holds no frame; a LAMMPS text dump is needed: check that the run has started its dump");
}

// ---- frames ---------------------------------------------------------------------------------------------

void DumpReader::State::accept(std::size_t index)
{
  ParsedPortion &parsed = portion_->parsed;
  const FrameRecord &frame = parsed.frames[index];
  const std::size_t size = 3 * roster_->size();
  const std::span<double> positions(parsed.positions.data() + index * size, size);
  std::span<const std::int32_t> images;
  if (frame.images == Images::flags) images = {parsed.images.data() + index * size, size};
  if (frame.timestep <= -most_steps || frame.timestep >= most_steps)
    fail(frame, "the timestep is " + std::to_string(frame.timestep) +
                    ", one between -2^62 and 2^62 is needed, so that " +
                    "differences are numbers: the file is damaged here, write it again");
  check_same_images(frame.images);
  check_boundaries(frame);

  if (!steps_.empty() && frame.timestep <= steps_.back()) {
    const auto at = std::lower_bound(steps_.begin(), steps_.end(), frame.timestep);
    if (at == steps_.end() || *at != frame.timestep)
      fail(frame, "time goes backwards: the frame before has timestep " + std::to_string(steps_.back()) +
                      "; give the files of one trajectory in order of time, and one replica at a time");
    return drop_repeat(static_cast<std::size_t>(at - steps_.begin()), frame, positions);
  }
  append(frame, positions, images);
}

/// Images that were guessed cannot be continued with images that were told.
void DumpReader::State::check_same_images(Images images) const
{
  if (!images_ || (*images_ == Images::nearest) == (images == Images::nearest)) return;
  fail(portion_->parsed.frames[next_frame_ - 1],
       "some frames have wrapped positions without images and some have others; the same columns are needed in every "
       "frame: give the dumps of one run");
}

/// In the cell of the frame itself (as Unwrapper got it); empty where only a sample is known.
std::span<const double> DumpReader::State::positions_before(std::size_t frame) const
{
  if (recent_.knows(frame)) return recent_.find(frame);
  // before the first change of the cell nothing is remembered, and nothing needs to be
  const std::size_t size = 3 * roster_->size();
  return {out_.positions.data() + (frame - block_begin_) * size, size};
}

const Box &DumpReader::State::box_before(std::size_t frame) const
{
  const auto after = std::upper_bound(boxes_.begin(), boxes_.end(), frame,
                                      [](std::size_t f, const auto &entry) { return f < entry.first; });
  return std::prev(after)->second;
}

void DumpReader::State::check_boundaries(const FrameRecord &frame) const
{
  if (boxes_.empty() || boxes_.back().second.periodic == frame.box.periodic) return;
  const auto text = [](const std::array<bool, 3> &periodic) {
    std::string out;
    for (const bool p : periodic) out += p ? "yes " : "no ";
    return out.substr(0, out.size() - 1);
  };
  fail(frame, "whether the box is periodic in x, y, z is '" + text(frame.box.periodic) +
                  "', in the frames before it was '" + text(boxes_.back().second.periodic) +
                  "'; boundaries must not change: is this file of the same trajectory?");
}

/// A repeated frame must lie in the same cell, in whatever vectors of its lattice.
void DumpReader::State::check_same_cell(const Box &then, const FrameRecord &frame) const
{
  const auto change = lattice_change(then, frame.box);
  const auto cell = change ? changed_cell(*change, then.cell) : then.cell;
  for (std::size_t i = 0; i < 9; ++i) {
    const double longest = std::max(std::abs(cell[i]), std::abs(frame.box.cell[i]));
    const double difference = std::abs(frame.box.cell[i] - cell[i]);
    if (difference <= allowed_difference(longest)) continue;
    fail(frame, std::string("this timestep was read before in another cell (component ") + "xyz"[i % 3] +
                    " of its vector " + "abc"[i / 3] + " was " + std::to_string(cell[i]) + " and is " +
                    std::to_string(frame.box.cell[i]) + " Angstrom, " + std::to_string(allowed_difference(longest)) +
                    " of difference is allowed); give the chunks of one replica, each starting from the last restart "
                    "of the one before");
  }
}

void DumpReader::State::drop_repeat(std::size_t earlier, const FrameRecord &frame, std::span<const double> positions)
{
  check_same_cell(box_before(earlier), frame);
  const auto &cell = frame.box.cell;
  struct Worst {
    std::size_t atom = 0;
    double difference = 0.0, allowed = 0.0;
  };
  std::optional<Worst> worst;
  const auto compare = [&](std::size_t atom, const double *then) {
    const double *const now = &positions[3 * atom];
    std::array<double, 3> moved = {now[0] - then[0], now[1] - then[1], now[2] - then[2]};
    if (frame.images == Images::nearest) moved = nearest_difference(now, then, frame.box);
    for (std::size_t k = 0; k < 3; ++k) {
      const double extent = std::abs(cell[k]) + std::abs(cell[3 + k]) + std::abs(cell[6 + k]);
      const double allowed = allowed_difference(std::max({std::abs(now[k]), std::abs(then[k]), extent}));
      const double difference = std::abs(moved[k]);
      if (difference > allowed && (!worst || difference > worst->difference)) worst = {atom, difference, allowed};
    }
  };
  if (const auto then = positions_before(earlier); !then.empty()) {
    for (std::size_t atom = 0; 3 * atom < then.size(); ++atom) compare(atom, &then[3 * atom]);
  } else {
    const auto sample = recent_.sample(earlier);
    const auto atoms = recent_.sampled_atoms();
    for (std::size_t i = 0; i < atoms.size(); ++i) compare(atoms[i], &sample[3 * i]);
  }
  if (worst)
    fail(frame,
         "this timestep was read before with other positions (atom id " + std::to_string(roster_->ids()[worst->atom]) +
             " moved by " + std::to_string(worst->difference) + " Angstrom, " + std::to_string(worst->allowed) +
             " is allowed); either these files are not successive chunks of one trajectory: give the chunks of one "
             "replica, each starting from the last restart of the one before; or the dump has too few digits: write "
             "it with `dump_modify ... format float %.8f`");
  ++out_.repeated_frames;
}

void DumpReader::State::append(const FrameRecord &frame, std::span<double> positions,
                               std::span<const std::int32_t> images)
{
  if (out_.positions.empty()) reserve();
  std::optional<Unwrapper::LongStep> too_long;
  try {
    too_long = unwrapper_.place(frame.images, frame.box, positions, images);
  } catch (const FrameFailure &failure) {
    fail(frame, failure.text);
  }
  if (too_long) fail(frame, "atom id " + std::to_string(roster_->ids()[too_long->atom]) + " " + describe(*too_long));
  const auto offset = unwrapper_.offset();
  if (!offset.empty() && !std::all_of(positions.begin(), positions.end(), [](double x) { return std::isfinite(x); }))
    fail(frame,
         "positions leave the range of numbers, as cells and images change; finite positions are needed: look at "
         "the log");
  if (!offset.empty() || in_blocks_) {
    // positions in the frame's own cell: the offset is that of this frame
    std::vector<double> own(positions.begin(), positions.end());
    for (std::size_t i = 0; i < offset.size(); ++i) own[i] -= offset[i];
    recent_.add(steps_.size(), own);
  }
  if (boxes_.empty() || boxes_.back().second.cell != frame.box.cell) boxes_.emplace_back(steps_.size(), frame.box);
  images_ = frame.images;
  steps_.push_back(frame.timestep);
  out_.timesteps.push_back(frame.timestep);
  out_.positions.insert(out_.positions.end(), positions.begin(), positions.end());
  out_.cells.insert(out_.cells.end(), frame.box.cell.begin(), frame.box.cell.end());
  out_.origins.insert(out_.origins.end(), frame.box.origin.begin(), frame.box.origin.end());
  out_.periodic = frame.box.periodic;
}

/// Pages that are reserved and not written cost nothing, growing by copies would double the memory.
void DumpReader::State::reserve()
{
  std::uintmax_t bytes = 0;
  for (std::size_t i = next_input_ - 1; i < inputs_.size(); ++i) bytes += inputs_[i].bytes.value_or(0);
  const auto &portion = *portion_;
  const std::size_t frames_here = std::max<std::size_t>(portion.parsed.frames.size(), 1);
  const std::uintmax_t frame_bytes = std::max<std::uintmax_t>(portion.text.whole / frames_here, 1);
  // frames differ a little in length
  const auto estimate = static_cast<std::size_t>(bytes / frame_bytes + bytes / frame_bytes / 32) + 1;
  out_.positions.reserve(std::min(estimate, most_frames_) * 3 * roster_->size());
  ask_for_large_pages(out_.positions);
}

void DumpReader::State::describe_atoms()
{
  out_.ids.assign(roster_->ids().begin(), roster_->ids().end());
  for (std::size_t slot = 0; slot < roster_->size(); ++slot) out_.elements.push_back(roster_->element(slot));
}

// ---- messages -------------------------------------------------------------------------------------------

std::string DumpReader::State::place_of(std::size_t frame, std::optional<std::int64_t> timestep, std::size_t line) const
{
  std::string where = name_ + ", frame " + std::to_string(frames_before_ + frame);
  if (timestep) where += " (timestep " + std::to_string(*timestep) + ")";
  if (line > 0) where += ", line " + std::to_string(lines_before_ + line);
  return where + ": ";
}

void DumpReader::State::report(const PlacedFailure &failure)
{
  const FrameFailure &what = failure.what;
  std::string text = place_of(failure.frame, failure.timestep, failure.line) + printable(what.text);
  if (what.truncated && options_.drop_truncated) {
    out_.truncated.push_back(std::move(text));
    return;
  }
  const std::size_t whole_lines = lines_before_ + failure.last_complete_line;
  if (what.truncated && failure.line > 0 && whole_lines > 0)
    text += ", or keep the whole frames with `head -n " + std::to_string(whole_lines) + "`";
  if (what.truncated) text += ", or ask for it to be left out (drop_truncated=True in Python)";
  throw Error(text);
}

void DumpReader::State::fail(const FrameRecord &frame, const std::string &text) const
{
  const bool binary = pipeline_->binary();
  throw Error(place_of(next_frame_ - 1, frame.timestep, binary ? 0 : frame.end) + printable(text));
}

// ---- the reader -----------------------------------------------------------------------------------------

DumpReader::DumpReader(std::vector<DumpInput> inputs, DumpOptions options) :
    state_(std::make_unique<State>(std::move(inputs), std::move(options)))
{
}

DumpReader::~DumpReader() = default;
DumpReader::DumpReader(DumpReader &&) noexcept = default;
DumpReader &DumpReader::operator=(DumpReader &&) noexcept = default;

DumpTrajectory DumpReader::read(std::size_t most_frames)
{
  return state_->read(most_frames);
}

}  // namespace lpsmd
