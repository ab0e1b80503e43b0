#include "model/passport.h"

#include <nlohmann/json.hpp>

#include "core/error.h"

namespace lpsmd {

namespace {

// LAMMPS ships this header under a namespace of its own.
using Json = ::LPSMD_JSON_NAMESPACE::json;

std::vector<double> flat(const Json &rows)
{
  std::vector<double> values;
  for (const auto &row : rows)
    for (const auto &value : row) values.push_back(value.get<double>());
  return values;
}

void need_size(const char *what, std::size_t found, std::size_t needed)
{
  if (found != needed)
    throw Error(std::string(what) + " has " + std::to_string(found) + " values, needs " + std::to_string(needed));
}

ReferenceFrame reference_frame(const Json &json, std::size_t type_count)
{
  ReferenceFrame frame;
  frame.cell_A = json.at("cell_A").get<Matrix3>();
  frame.periodic = json.at("pbc").get<std::array<bool, 3>>();
  frame.positions_A = flat(json.at("positions_A"));
  frame.types = json.at("types").get<std::vector<int>>();
  frame.energy_eV = json.at("energy_eV").get<double>();
  frame.forces_eV_per_A = flat(json.at("forces_eV_per_A"));
  frame.virial_eV = json.at("virial_eV").get<Matrix3>();
  need_size("reference.positions_A", frame.positions_A.size(), 3 * frame.types.size());
  need_size("reference.forces_eV_per_A", frame.forces_eV_per_A.size(), 3 * frame.types.size());
  for (const int type : frame.types)
    if (type < 0 || static_cast<std::size_t>(type) >= type_count)
      throw Error("reference.types has " + std::to_string(type) + ", which is none of its " +
                  std::to_string(type_count) + " types");
  return frame;
}

Passport fields(const Json &json)
{
  Passport passport;
  passport.architecture = json.at("architecture").get<std::string>();
  passport.functional = json.at("functional").get<std::string>();
  passport.dtype = json.at("dtype").get<std::string>();
  passport.type_names = json.at("type_names").get<std::vector<std::string>>();
  passport.cutoff_A = json.at("cutoff_A").get<double>();
  passport.layers = json.at("layers").get<int>();
  passport.local = json.at("local").get<bool>();

  const std::size_t n = passport.type_names.size();
  const Json &pairs = json.at("pair_cutoff_A");
  passport.pair_cutoff_A = pairs.is_null() ? std::vector<double>(n * n, passport.cutoff_A) : flat(pairs);
  need_size("pair_cutoff_A", passport.pair_cutoff_A.size(), n * n);
  const Json &limits = json.at("max_neighbors");
  if (!limits.is_null()) {
    passport.max_neighbors = limits.get<std::vector<int>>();
    need_size("max_neighbors", passport.max_neighbors.size(), n);
  }
  if (passport.dtype != "float32" && passport.dtype != "float64")
    throw Error("dtype is '" + passport.dtype + "', needs float32 or float64");
  if (json.at("units").at("energy") != "eV" || json.at("units").at("length") != "Angstrom")
    throw Error("units are " + json.at("units").dump() + ", needs eV and Angstrom");
  passport.reference = reference_frame(json.at("reference"), n);
  return passport;
}

}  // namespace

Passport parse_passport(const std::string &json_text, const std::string &file)
{
  const std::string remedy = ". Export the model again with this version's `lpsmd export`";
  try {
    const Json json = Json::parse(json_text);
    const int schema = json.at("schema").get<int>();
    if (schema != kPassportSchema)
      throw Error("its passport has schema " + std::to_string(schema) + ", this lpsmd reads schema " +
                  std::to_string(kPassportSchema));
    return fields(json);
  } catch (const Json::exception &error) {
    throw Error("model file " + file + ": its passport cannot be read (" + error.what() + ")" + remedy);
  } catch (const Error &error) {
    throw Error("model file " + file + ": " + error.what() + remedy);
  }
}

}  // namespace lpsmd
