#pragma once

#include "pointers.h"

#include <map>
#include <string>
#include <vector>

#include "model/session.h"

namespace lpsmd {

/// What an input may choose for its models: the options that pair style and committee share.
struct ModelOptions {
  DeviceChoice device;
  bool check_masses = true;      ///< atom masses must be those of the elements
  bool shared_elements = false;  ///< several atom types may stand for one element
};

/// Options of a command: words as they stand in the input, one keyword and its values after the other.
///
/// Every error names the command, what was found and what is known.
class OptionReader {
 public:
  /// `lists`: keywords of this command, besides the shared ones, that take any number of words.
  OptionReader(LAMMPS_NS::LAMMPS *lmp, std::string command, const std::vector<std::string> &lists = {});

  /// Reads arg[first, narg) into `options` and the lists.
  void read(int first, int narg, char **arg, ModelOptions &options);
  const std::vector<std::string> &list(const std::string &keyword) const { return lists_.at(keyword); }

 private:
  bool is_keyword(const std::string &word) const;
  void set(ModelOptions &options, int position, const std::string &keyword, const std::vector<std::string> &words);

  LAMMPS_NS::LAMMPS *lmp_;
  std::string command_;
  std::vector<std::string> keywords_;
  std::map<std::string, std::vector<std::string>> lists_;  // words by keyword
};

/// Stops unless units are those of all models, eV and Angstrom.
void check_units(LAMMPS_NS::LAMMPS *lmp, const std::string &command);

}  // namespace lpsmd
