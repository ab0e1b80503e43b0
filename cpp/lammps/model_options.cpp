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

/// Since 2025 an error of LAMMPS marks the argument at fault, by its position in the command.
template <typename Error> void stop_at(Error *error, int position, const std::string &text)
{
  if constexpr (requires { error->all(FLERR, position, text); })
    error->all(FLERR, position, text);
  else
    error->all(FLERR, text);
}

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

OptionReader::OptionReader(LAMMPS *lmp, std::string command, const std::vector<std::string> &lists) :
    lmp_(lmp),
    command_(std::move(command)),
    keywords_(lists)
{
  for (const auto &keyword : lists) lists_[keyword] = {};
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

void OptionReader::set(ModelOptions &options, int position, const std::string &keyword,
                       const std::vector<std::string> &words)
{
  const auto stop = [&](int at, const std::string &text) { stop_at(lmp_->error, at, command_ + ": " + text); };
  if (!is_keyword(keyword))
    stop(position, "unknown option '" + keyword + "'; did you mean '" + nearest_word(keyword, keywords_) +
                       "'? Known: " + join(keywords_));
  const auto found = kChoices.find(keyword);
  if (found == kChoices.end()) {
    lists_[keyword] = words;
    return;
  }
  const std::vector<std::string> &choices = found->second;
  if (words.empty()) stop(position, "option '" + keyword + "' needs a value, one of: " + join(choices));
  if (words.size() > 1)
    stop(position + 2, "option '" + keyword + "' takes one value, found '" + words[1] +
                           "' after it; known options: " + join(keywords_));
  const std::string &value = words.front();
  if (!contains(choices, value)) stop(position + 1, keyword + " is '" + value + "', needs one of: " + join(choices));
  if (keyword == "device") options.device.request = value;
  if (keyword == "masses") options.check_masses = value == "check";
  if (keyword == "elements") options.shared_elements = value == "shared";
}

}  // namespace lpsmd
