#pragma once

#include <cmath>

namespace lpsmd {

/// Running sum with the rounding carried along (Neumaier 1974, doi:10.1002/zamm.19740540106).
class CompensatedSum {
 public:
  CompensatedSum() = default;
  CompensatedSum(double sum, double rest) : sum_(sum), rest_(rest) {}

  void add(double value)
  {
    const double next = sum_ + value;
    rest_ += std::abs(sum_) >= std::abs(value) ? (sum_ - next) + value : (value - next) + sum_;
    sum_ = next;
  }
  double sum() const { return sum_; }
  /// What rounding has taken from the sum
  double rest() const { return rest_; }
  double value() const { return sum_ + rest_; }

 private:
  double sum_ = 0.0;
  double rest_ = 0.0;
};

}  // namespace lpsmd
