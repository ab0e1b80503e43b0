#pragma once

#include <optional>
#include <string_view>

namespace lpsmd {

/// Standard atomic mass in g/mol, or nothing if `symbol` is not a chemical element.
std::optional<double> atomic_mass(std::string_view symbol);

/// The element whose standard mass is nearest to `mass` (g/mol).
std::string_view element_of_mass(double mass);

}  // namespace lpsmd
