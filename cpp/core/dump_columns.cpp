#include "core/dump_columns.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/text.h"

namespace lpsmd {

namespace {

using Names = std::array<const char *, 3>;

constexpr Names unwrapped = {"xu", "yu", "zu"}, scaled_unwrapped = {"xsu", "ysu", "zsu"}, wrapped = {"x", "y", "z"},
                scaled_wrapped = {"xs", "ys", "zs"}, image_flags = {"ix", "iy", "iz"};

std::string written_with()
{
  return std::string("write the dump with `") + write_columns + "`";
}

class Planner {
 public:
  Planner(std::vector<std::string> names, bool binary, const DumpOptions &options) : binary_(binary), options_(options)
  {
    layout_.names = std::move(names);
    layout_.columns.resize(layout_.names.size());
    found_ = "the columns are '" + join(layout_.names) + "': ";
  }

  Layout plan()
  {
    if (!has("id"))
      throw FrameFailure{found_ + "'id' is missing, without which atoms cannot be followed: " + written_with()};
    assign("id", Role::id, 0);
    plan_elements();
    layout_.identity_end = layout_.used;
    plan_positions();
    return std::move(layout_);
  }

 private:
  std::size_t find(std::string_view name) const
  {
    const auto &names = layout_.names;
    return static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
  }

  bool has(std::string_view name) const { return find(name) < layout_.names.size(); }

  bool has_axes(const Names &names) const
  {
    return std::all_of(names.begin(), names.end(), [&](auto name) { return has(name); });
  }

  void assign(std::string_view name, Role role, std::size_t axis)
  {
    const std::size_t at = find(name);
    layout_.columns[at] = {role, static_cast<std::uint8_t>(axis)};
    layout_.used = std::max(layout_.used, at + 1);
  }

  void plan_elements()
  {
    const char *const type_column = has("type") ? "type" : binary_ && has("element") ? "element" : nullptr;
    const bool given = !options_.elements_of_types.empty();
    layout_.named_by_type = binary_ || (given && type_column != nullptr);
    if (binary_ && !given)
      throw FrameFailure{found_ +
                         "a binary dump holds no element names, only types: name the element of each type in order "
                         "(elements_of_types=[\"Li\", \"P\", \"S\", \"Cl\"] in Python)"};
    if (layout_.named_by_type && type_column == nullptr)
      throw FrameFailure{found_ + "'type' is missing, which tells the element of an atom: " +
                         "write the dump with `dump ... custom ... id type xu yu zu`"};
    if (!layout_.named_by_type && !has("element"))
      throw FrameFailure{found_ + "'element' is missing" +
                         (type_column != nullptr ? " ('type' alone does not name the element)" : "") + ": " +
                         written_with() + " and `dump_modify ... element Li P S Cl` in order of types" +
                         (type_column != nullptr
                              ? ", or name the elements here (elements_of_types=[\"Li\", \"P\", ...] in Python)"
                              : "")};
    // beside types that are named, to see that both agree
    if (!binary_ && has("element")) assign("element", Role::element, 0);
    const bool select_types = !options_.keep.types.empty();
    if (select_types && type_column == nullptr)
      throw FrameFailure{found_ + "'type' is missing, by which atoms shall be selected: select by element, or write " +
                         "the dump with `dump ... custom ... id type element xu yu zu`"};
    if (layout_.named_by_type || select_types) assign(type_column, Role::type, 0);
  }

  void plan_positions()
  {
    const bool flags = has_axes(image_flags);
    if (has_axes(unwrapped)) return place(unwrapped, false, Images::rewrapped);
    if (has_axes(scaled_unwrapped)) return place(scaled_unwrapped, true, Images::rewrapped);
    const bool cartesian = has_axes(wrapped);
    if (!cartesian && !has_axes(scaled_wrapped))
      throw FrameFailure{found_ +
                         "no positions among them; 'xu yu zu' or 'x y z ix iy iz' are needed: " + written_with()};
    const Names &names = cartesian ? wrapped : scaled_wrapped;
    if (!flags && !options_.unwrap)
      throw FrameFailure{found_ + names[0] + " " + names[1] + " " + names[2] +
                         " are wrapped into the box and no image flags ix iy iz say where the atoms have gone, so no "
                         "displacement can be told: " +
                         written_with() +
                         ", or ask for unwrapping by the nearest image (unwrap=True in Python, --unwrap) if no atom "
                         "moves by a third of the box between two frames"};
    place(names, !cartesian, flags ? Images::flags : Images::nearest);
    if (!flags) return;
    for (std::size_t k = 0; k < 3; ++k) assign(image_flags[k], Role::image, k);
  }

  void place(const Names &names, bool scaled, Images images)
  {
    for (std::size_t k = 0; k < 3; ++k) assign(names[k], Role::coordinate, k);
    layout_.scaled = scaled;
    layout_.images = images;
    const std::size_t x = find(names[0]);
    if (find(names[1]) == x + 1 && find(names[2]) == x + 2) layout_.coordinates = x;
  }

  bool binary_;
  const DumpOptions &options_;
  Layout layout_;
  std::string found_;
};

}  // namespace

Layout plan_layout(std::vector<std::string> names, bool binary, const DumpOptions &options)
{
  return Planner(std::move(names), binary, options).plan();
}

}  // namespace lpsmd
