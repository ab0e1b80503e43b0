#include "core/neighbor_graph.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace lpsmd {

GraphRules::GraphRules(std::vector<std::string> type_names, double cutoff_A) :
    GraphRules(type_names, std::vector<double>(type_names.size() * type_names.size(), cutoff_A), {})
{
}

GraphRules::GraphRules(std::vector<std::string> type_names, std::vector<double> pair_cutoff_A,
                       std::vector<int> max_neighbors) :
    type_names_(std::move(type_names)),
    max_neighbors_(std::move(max_neighbors))
{
  const std::size_t n = type_names_.size();
  if (n == 0 || pair_cutoff_A.size() != n * n)
    throw Error("graph rules need one cutoff per pair of types: found " + std::to_string(pair_cutoff_A.size()) +
                " for " + std::to_string(n) + " types");
  if (!max_neighbors_.empty() && max_neighbors_.size() != n)
    throw Error("graph rules need one neighbour limit per type: found " + std::to_string(max_neighbors_.size()) +
                " for " + std::to_string(n) + " types");
  for (std::size_t k = 0; k < n * n; ++k) {
    const double cutoff = pair_cutoff_A[k];
    if (!(cutoff > 0.0) || !std::isfinite(cutoff))
      throw Error("a cutoff must be a positive number of Angstrom, found " + std::to_string(cutoff));
    max_cutoff_A_ = std::max(max_cutoff_A_, cutoff);
    cutoff_squared_.push_back(cutoff * cutoff);
    if (k % n == n - 1) cutoff_squared_.push_back(0.0);  // no distance is below it: unseen atoms need no branch
  }
}

double GraphRules::cutoff_A(std::size_t type_i, std::size_t type_j) const
{
  return std::sqrt(cutoff_squared_row(type_i)[type_j]);
}

const double *GraphRules::cutoff_squared_row(std::size_t type) const
{
  return cutoff_squared_.data() + type * (type_names_.size() + 1);
}

namespace {

std::string label(const AtomView &atoms, int atom)
{
  if (atoms.ids.empty()) return std::to_string(atom) + " (counted from 0)";
  return "with ID " + std::to_string(atoms.ids[static_cast<std::size_t>(atom)]);
}

}  // namespace

void NeighborGraph::reset(std::size_t capacity)
{
  size_ = 0;
  make_room(capacity);
}

void NeighborGraph::make_room(std::size_t more)
{
  if (size_ + more <= centres_.size()) return;
  const std::size_t needed = size_ == 0 ? more : std::max(size_ + more, 2 * centres_.size());
  centres_.resize(needed);
  neighbors_.resize(needed);
  images_.resize(needed);
  vectors_.resize(3 * needed);
}

void NeighborGraph::append_centre(const AtomView &atoms, const GraphRules &rules, int centre,
                                  std::span<const int> candidates, int index_mask)
{
  const auto i = static_cast<std::size_t>(centre);
  const double *const x = atoms.positions;
  const double xi = x[3 * i], yi = x[3 * i + 1], zi = x[3 * i + 2];
  if (!std::isfinite(xi + yi + zi))  // no comparison below would notice: the atom would just lose its edges
    throw Error("the position of atom " + label(atoms, centre) +
                " is not a finite number: the dynamics has exploded, or the structure is broken. "
                "Look at the last frames, and at the time step");
  const double *const cutoff_squared = rules.cutoff_squared_row(static_cast<std::size_t>(atoms.types[i]));
  const std::size_t first = size_;

  make_room(candidates.size());
  // Written without a branch: each candidate is stored, the end only moves past those in range.
  std::size_t end = size_;
  for (const int candidate : candidates) {
    const auto j = static_cast<std::size_t>(candidate & index_mask);
    const double dx = x[3 * j] - xi, dy = x[3 * j + 1] - yi, dz = x[3 * j + 2] - zi;
    centres_[end] = atoms.owner[i];
    neighbors_[end] = atoms.owner[j];
    images_[end] = static_cast<int>(j);
    vectors_[3 * end] = dx;
    vectors_[3 * end + 1] = dy;
    vectors_[3 * end + 2] = dz;
    end += dx * dx + dy * dy + dz * dz < cutoff_squared[atoms.types[j]] ? 1 : 0;
  }
  size_ = end;
  if (!rules.max_neighbors().empty()) check_counts(atoms, rules, centre, first);
}

void NeighborGraph::check_counts(const AtomView &atoms, const GraphRules &rules, int centre, std::size_t first)
{
  type_counts_.assign(rules.type_count(), 0);
  for (std::size_t e = first; e < size_; ++e)
    ++type_counts_[static_cast<std::size_t>(atoms.types[static_cast<std::size_t>(neighbors_[e])])];
  for (std::size_t t = 0; t < rules.type_count(); ++t) {
    if (type_counts_[t] <= rules.max_neighbors()[t]) continue;
    const auto centre_type = static_cast<std::size_t>(atoms.types[static_cast<std::size_t>(centre)]);
    throw Error("atom " + label(atoms, centre) + " (" + rules.type_name(centre_type) + ") has " +
                std::to_string(type_counts_[t]) + " neighbours of type " + rules.type_name(t) +
                ", the model has room for " + std::to_string(rules.max_neighbors()[t]) +
                " (its sel): the structure is denser than the model allows. Check it for overlapping atoms, "
                "or train the model with a larger sel");
  }
}

namespace {

using Vector3 = std::array<double, 3>;

Vector3 cross(const Vector3 &a, const Vector3 &b)
{
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

double dot(const Vector3 &a, const Vector3 &b)
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

double norm(const Vector3 &a)
{
  return std::sqrt(dot(a, a));
}

/// A cell whose non-periodic directions are replaced by unit vectors normal to the rest.
struct Lattice {
  Matrix3 rows;
  Matrix3 reciprocal;  // rows: fractional coordinate k = dot(reciprocal[k], r)
  std::array<double, 3> inverse_height;

  Lattice(Matrix3 cell, const std::array<bool, 3> &periodic) : rows(cell)
  {
    for (std::size_t k = 0; k < 3; ++k)
      if (!periodic[k]) rows[k] = free_direction(k, periodic);
    const double volume = dot(rows[0], cross(rows[1], rows[2]));
    if (!(std::abs(volume) > 1e-9))
      throw Error("the cell is singular: its volume is " + std::to_string(volume) +
                  " Angstrom^3; give three independent lattice vectors");
    for (std::size_t k = 0; k < 3; ++k) {
      reciprocal[k] = cross(rows[(k + 1) % 3], rows[(k + 2) % 3]);
      for (double &component : reciprocal[k]) component /= volume;
      inverse_height[k] = norm(reciprocal[k]);
    }
  }

 private:
  /// Normal to the periodic vectors, so that images along them leave this coordinate alone.
  Vector3 free_direction(std::size_t k, const std::array<bool, 3> &periodic) const
  {
    const std::size_t a = (k + 1) % 3, b = (k + 2) % 3;
    Vector3 normal{0.0, 0.0, 0.0};
    if (periodic[a] && periodic[b])
      normal = cross(rows[a], rows[b]);
    else if (!periodic[a] && !periodic[b])
      normal[k] = 1.0;
    else {
      const Vector3 &kept = periodic[a] ? rows[a] : rows[b];
      Vector3 helper{0.0, 0.0, 0.0};
      helper[k] = 1.0;
      const double along = dot(kept, helper) / dot(kept, kept);
      for (std::size_t c = 0; c < 3; ++c) normal[c] = helper[c] - along * kept[c];
    }
    const double length = norm(normal);
    if (!(length > 0.0)) throw Error("the cell is singular: two of its lattice vectors are parallel");
    for (double &component : normal) component /= length;
    return normal;
  }
};

/// Real atoms first, then every periodic image that can lie within the cutoff of one of them.
struct Images {
  std::vector<double> positions;
  std::vector<int> types, owner;

  void push(const Vector3 &r, int type, int real)
  {
    positions.insert(positions.end(), r.begin(), r.end());
    types.push_back(type);
    owner.push_back(real);
  }
  std::size_t size() const { return owner.size(); }
  Vector3 at(std::size_t i) const { return {positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]}; }
  AtomView view() const { return {positions.data(), types, owner}; }
};

Images with_images(std::span<const double> positions, std::span<const int> types, const Lattice &lattice,
                   const std::array<bool, 3> &periodic, double cutoff)
{
  const std::size_t n = types.size();
  Images all;
  std::vector<Vector3> fractional(n);
  for (std::size_t i = 0; i < n; ++i) {
    Vector3 r{positions[3 * i], positions[3 * i + 1], positions[3 * i + 2]};
    for (std::size_t k = 0; k < 3; ++k) {
      const double s = dot(lattice.reciprocal[k], r);
      if (!std::isfinite(s)) throw Error("position of atom " + std::to_string(i) + " is not a finite number");
      const double wrap = periodic[k] ? std::floor(s) : 0.0;
      fractional[i][k] = s - wrap;
      for (std::size_t c = 0; c < 3; ++c) r[c] -= wrap * lattice.rows[k][c];
    }
    all.push(r, types[i], static_cast<int>(i));
  }
  std::array<int, 3> reach{};
  std::array<double, 3> margin{};
  for (std::size_t k = 0; k < 3; ++k) {
    margin[k] = cutoff * lattice.inverse_height[k];
    reach[k] = periodic[k] ? static_cast<int>(std::ceil(margin[k])) : 0;
  }
  for (int a = -reach[0]; a <= reach[0]; ++a)
    for (int b = -reach[1]; b <= reach[1]; ++b)
      for (int c = -reach[2]; c <= reach[2]; ++c) {
        if (a == 0 && b == 0 && c == 0) continue;
        const std::array<int, 3> shift{a, b, c};
        for (std::size_t i = 0; i < n; ++i) {
          bool close = true;
          Vector3 r = all.at(i);
          for (std::size_t k = 0; k < 3; ++k) {
            const double s = fractional[i][k] + shift[k];
            close = close && (!periodic[k] || (s > -margin[k] && s < 1.0 + margin[k]));
            for (std::size_t x = 0; x < 3; ++x) r[x] += shift[k] * lattice.rows[k][x];
          }
          if (close) all.push(r, types[i], static_cast<int>(i));
        }
      }
  return all;
}

/// Cubic bins of at least one cutoff, so that the 27 around an atom hold all its neighbours.
class Bins {
 public:
  Bins(const Images &atoms, double cutoff) : atoms_(atoms)
  {
    Vector3 high = low_ = atoms.at(0);
    for (std::size_t i = 0; i < atoms.size(); ++i)
      for (std::size_t k = 0; k < 3; ++k) {
        low_[k] = std::min(low_[k], atoms.at(i)[k]);
        high[k] = std::max(high[k], atoms.at(i)[k]);
      }
    for (std::size_t k = 0; k < 3; ++k) {
      // A sparse molecule in a huge box must not make more bins than there are atoms to fill them.
      const double most = 1.0 + std::cbrt(static_cast<double>(atoms.size()));
      width_[k] = std::max(cutoff, (high[k] - low_[k]) / most);
      count_[k] = static_cast<std::size_t>((high[k] - low_[k]) / width_[k]) + 1;
    }
    const std::size_t bins = count_[0] * count_[1] * count_[2];
    start_.assign(bins + 1, 0);
    std::vector<std::size_t> bin(atoms.size());
    for (std::size_t i = 0; i < atoms.size(); ++i) {
      bin[i] = flat(cell_of(i));
      ++start_[bin[i] + 1];
    }
    std::partial_sum(start_.begin(), start_.end(), start_.begin());
    members_.resize(atoms.size());
    std::vector<std::size_t> next(start_.begin(), start_.end() - 1);
    for (std::size_t i = 0; i < atoms.size(); ++i) members_[next[bin[i]]++] = static_cast<int>(i);
  }

  void around(std::size_t i, std::vector<int> &candidates) const
  {
    candidates.clear();
    const auto home = cell_of(i);
    std::array<std::size_t, 3> low{}, high{};
    for (std::size_t k = 0; k < 3; ++k) {
      low[k] = home[k] > 0 ? home[k] - 1 : 0;
      high[k] = std::min(home[k] + 1, count_[k] - 1);
    }
    for (std::size_t a = low[0]; a <= high[0]; ++a)
      for (std::size_t b = low[1]; b <= high[1]; ++b)
        for (std::size_t c = low[2]; c <= high[2]; ++c)
          for (std::size_t m = start_[flat({a, b, c})]; m < start_[flat({a, b, c}) + 1]; ++m)
            if (members_[m] != static_cast<int>(i)) candidates.push_back(members_[m]);
  }

 private:
  std::array<std::size_t, 3> cell_of(std::size_t i) const
  {
    std::array<std::size_t, 3> cell{};
    for (std::size_t k = 0; k < 3; ++k)
      cell[k] = std::min(static_cast<std::size_t>((atoms_.at(i)[k] - low_[k]) / width_[k]), count_[k] - 1);
    return cell;
  }
  std::size_t flat(const std::array<std::size_t, 3> &cell) const
  {
    return (cell[0] * count_[1] + cell[1]) * count_[2] + cell[2];
  }

  const Images &atoms_;
  Vector3 low_{}, width_{};
  std::array<std::size_t, 3> count_{};
  std::vector<std::size_t> start_;
  std::vector<int> members_;
};

}  // namespace

NeighborGraph periodic_graph(std::span<const double> positions, std::span<const int> types, const Matrix3 &cell,
                             const std::array<bool, 3> &periodic, const GraphRules &rules)
{
  const std::size_t n = types.size();
  if (positions.size() != 3 * n)
    throw Error("found " + std::to_string(positions.size()) + " coordinates for " + std::to_string(n) +
                " atoms, need three each");
  for (const int type : types)
    if (type < 0 || static_cast<std::size_t>(type) >= rules.type_count())
      throw Error("atom type " + std::to_string(type) + " is not one of the " + std::to_string(rules.type_count()) +
                  " types of the model");
  NeighborGraph graph;
  if (n == 0) return graph;

  const Images atoms = with_images(positions, types, Lattice(cell, periodic), periodic, rules.max_cutoff_A());
  const Bins bins(atoms, rules.max_cutoff_A());
  std::vector<int> candidates;
  for (std::size_t i = 0; i < n; ++i) {
    bins.around(i, candidates);
    graph.append_centre(atoms.view(), rules, static_cast<int>(i), candidates, ~0);
  }
  return graph;
}

}  // namespace lpsmd
