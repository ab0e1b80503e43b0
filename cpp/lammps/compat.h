#pragma once

// What differs between the LAMMPS versions that pair_style lpsmd is built for.

#include "error.h"
#include "pair.h"

#include <cstdlib>
#include <string>
#include <type_traits>

namespace lpsmd {

/// Since 2025 an error may name the argument of the command that is at fault: error->all(FLERR, 2, "...").
template <typename Error>
concept NamesArguments = requires(Error &error, int argument) { error.all("file", 1, argument, "text"); };

/// The Error of an older LAMMPS, called like that of a newer one; the number of the argument is left out.
class ErrorWithoutArguments {
 public:
  explicit ErrorWithoutArguments(LAMMPS_NS::Error *&error) : error_(error) {}
  const ErrorWithoutArguments *operator->() const { return this; }

  template <typename... Values>
  [[noreturn]] void all(const char *file, int line, const std::string &text, const Values &...values) const
  {
    error_->all(file, line, text, values...);
    std::abort();  // not reached, but the older declaration does not say so
  }
  template <typename... Values>
  [[noreturn]] void all(const char *file, int line, int, const std::string &text, const Values &...values) const
  {
    all(file, line, text, values...);
  }
  template <typename... Values>
  [[noreturn]] void one(const char *file, int line, const std::string &text, const Values &...values) const
  {
    error_->one(file, line, text, values...);
    std::abort();
  }
  template <typename... Values>
  [[noreturn]] void one(const char *file, int line, int, const std::string &text, const Values &...values) const
  {
    one(file, line, text, values...);
  }
  template <typename... Values>
  void warning(const char *file, int line, const std::string &text, const Values &...values) const
  {
    error_->warning(file, line, text, values...);
  }

 private:
  LAMMPS_NS::Error *&error_;
};

class PairOfOlderLammps : public LAMMPS_NS::Pair {
 public:
  explicit PairOfOlderLammps(LAMMPS_NS::LAMMPS *lammps) : Pair(lammps), error(Pair::error) {}

 protected:
  ErrorWithoutArguments error;
};

/// What the pair style derives from: Pair, with an `error` that takes the calls of a newer LAMMPS.
using PairBase = std::conditional_t<NamesArguments<LAMMPS_NS::Error>, LAMMPS_NS::Pair, PairOfOlderLammps>;

}  // namespace lpsmd
