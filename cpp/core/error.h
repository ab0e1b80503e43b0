#pragma once

#include <stdexcept>

namespace lpsmd {

/// Every failure a user can cause: the text names the value found, the value needed and the next step.
/// LAMMPS adapters turn it into error->all or error->one, pybind11 into lpsmd.errors.LpsmdError.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace lpsmd
