#include "lammps/model_options.h"

#include "comm.h"
#include "error.h"
#include "universe.h"
#include "update.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/text.h"
#include "lammps/environment.h"

using namespace LAMMPS_NS;

namespace lpsmd {

namespace {

/// Options that take one of some words.
const std::map<std::string, std::vector<std::string>> kChoices = {
    {"device", {"auto", "cpu", "cuda"}}, {"masses", {"check", "ignore"}}, {"elements", {"once", "shared"}}};

bool contains(const std::vector<std::string> &words, const std::string &word)
{
  return std::ranges::find(words, word) != words.end();
}

}  // namespace

void check_units(LAMMPS *lmp, const std::string &command)
{
  const std::string found = lmp->update->unit_style;
  if (found != "metal")
    lmp->error->all(
        FLERR,
        "{} needs units metal (its models are in eV and Angstrom), found units {}. Put 'units metal' at the "
        "top of the input",
        command, found);
}

OptionReader::OptionReader(LAMMPS *lmp, std::string command, std::vector<std::string> lists) :
    lmp_(lmp),
    command_(std::move(command)),
    keywords_(lists),
    lists_(std::move(lists)),
    values_(lists_.size())
{
  for (const auto &[keyword, choices] : kChoices) keywords_.push_back(keyword);
}

bool OptionReader::is_keyword(const std::string &word) const
{
  return contains(keywords_, word);
}

void OptionReader::read(int first, int narg, char **arg, ModelOptions &options)
{
  options = {};
  options.device.local_rank = local_rank(lmp_->universe->iworld + lmp_->comm->me);
  for (int k = first; k < narg;) {
    const int position = k++;
    std::vector<std::string> words;
    for (; k < narg && !is_keyword(arg[k]); ++k) words.emplace_back(arg[k]);
    set(options, position, arg[position], words);
  }
}

const std::vector<std::string> &OptionReader::list(const std::string &keyword) const
{
  return values_[static_cast<std::size_t>(std::ranges::find(lists_, keyword) - lists_.begin())];
}

void OptionReader::set(ModelOptions &options, int position, const std::string &keyword,
                       const std::vector<std::string> &words)
{
  Error *const error = lmp_->error;
  if (!is_keyword(keyword))
    error->all(FLERR, position, "{}: unknown option '{}'; did you mean '{}'? Known: {}", command_, keyword,
               nearest_word(keyword, keywords_), join(keywords_));
  const auto found = kChoices.find(keyword);
  if (found == kChoices.end()) {
    values_[static_cast<std::size_t>(std::ranges::find(lists_, keyword) - lists_.begin())] = words;
    return;
  }
  const std::vector<std::string> &choices = found->second;
  if (words.empty())
    error->all(FLERR, position, "{}: option '{}' needs a value, one of: {}", command_, keyword, join(choices));
  if (words.size() > 1)
    error->all(FLERR, position + 2, "{}: option '{}' takes one value, found '{}' after it; known options: {}", command_,
               keyword, words[1], join(keywords_));
  const std::string &value = words.front();
  if (!contains(choices, value))
    error->all(FLERR, position + 1, "{}: {} is '{}', needs one of: {}", command_, keyword, value, join(choices));
  if (keyword == "device") options.device.request = value;
  if (keyword == "masses") options.check_masses = value == "check";
  if (keyword == "elements") options.shared_elements = value == "shared";
}

}  // namespace lpsmd
