#define TOML_EXCEPTIONS 0
#include "gateway/pool/plan/image_map.hh"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>

#include "gateway/pool/plan/plan_data.hh"

namespace qanat::pool {
namespace {

std::vector<std::string> texts(const toml::table& table, std::string_view key) {
  std::vector<std::string> out;
  if (const toml::array* array = table[key].as_array())
    for (const auto& value : *array)
      if (const auto text = value.value<std::string>()) out.push_back(*text);
  return out;
}

bool matches(std::string_view pattern, std::string_view name) {
  if (!pattern.empty() && pattern.back() == '*')
    return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return pattern == name;
}

bool has(const std::vector<std::string>& list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

// Empty when it fits, else the first thing that does not.
std::string misfit(const Image& image, const ImageWish& wish) {
  if (!has(image.vendors, wish.vendor)) return fmt::format("no build for {} cards", wish.vendor);
  if (!has(image.dtypes, wish.dtype)) return fmt::format("cannot serve {}", wish.dtype);
  if (wish.card_memory_gb < image.min_memory_gb)
    return fmt::format("wants {:.0f} GB a card, it has {:.0f}", image.min_memory_gb, wish.card_memory_gb);
  return {};
}

}  // namespace

std::vector<std::string> add_images(ImageMap& map, std::string_view file, std::string_view text) {
  std::vector<std::string> problems;
  const toml::parse_result parsed = toml::parse(text, file);
  if (!parsed)
    return {fmt::format("{}:{}: {}", file, parsed.error().source().begin.line, parsed.error().description())};
  const toml::array* images = parsed.table()["image"].as_array();
  if (!images) return {fmt::format("{}: image: missing, [[image]] tables are expected", file)};
  for (const auto& node : *images) {
    const toml::table& table = *node.as_table();
    Image image;
    image.name = table["name"].value_or(std::string());
    image.service = table["service"].value_or(std::string());
    image.protocol = table["protocol"].value_or(std::string());
    image.vendors = texts(table, "vendors");
    image.dtypes = texts(table, "dtypes");
    image.models = texts(table, "models");
    image.min_memory_gb = table["min_memory_gb"].value_or(0.0);
    image.gb = table["gb"].value_or(0.0);
    image.substitute_for = table["substitute_for"].value_or(std::string());
    image.note = table["note"].value_or(std::string());
    for (const auto& [key, value] : table) {
      static constexpr std::string_view kKeys[] = {"name",           "service", "protocol",      "vendors",
                                                   "dtypes",         "models",  "min_memory_gb", "gb",
                                                   "substitute_for", "note"};
      if (std::find(std::begin(kKeys), std::end(kKeys), key.str()) == std::end(kKeys))
        problems.push_back(fmt::format("{}: image {}: {}: unknown key", file, image.name, key.str()));
    }
    if (image.name.empty() || image.service.empty() || image.protocol.empty() || image.vendors.empty() ||
        image.dtypes.empty() || image.models.empty() || image.gb <= 0)
      problems.push_back(
          fmt::format("{}: image {}: name, service, protocol, vendors, dtypes, models and gb are required",
                      file, image.name));
    if (!image.substitute_for.empty() &&
        std::none_of(map.images.begin(), map.images.end(),
                     [&](const Image& i) { return i.name == image.substitute_for; }))
      problems.push_back(fmt::format("{}: image {}: substitute_for: no image {} above it", file, image.name,
                                     image.substitute_for));
    map.images.push_back(std::move(image));
  }
  return problems;
}

const ImageMap& built_in_images() {
  static const ImageMap map = [] {
    ImageMap images;
    add_images(images, "images.toml", kImagesToml);
    return images;
  }();
  return map;
}

ImageAnswer find_image(const ImageMap& map, const ImageWish& wish) {
  ImageAnswer answer;
  for (const bool substitutes : {false, true}) {
    for (const Image& image : map.images) {
      if (image.substitute_for.empty() == substitutes || image.service != wish.service ||
          image.protocol != wish.protocol ||
          std::none_of(image.models.begin(), image.models.end(),
                       [&](const std::string& p) { return matches(p, wish.model); }))
        continue;
      const std::string reason = misfit(image, wish);
      if (reason.empty()) {
        answer.image = &image;
        if (answer.first_choice)
          answer.why = fmt::format("{}: {}; {}", answer.first_choice->name, answer.why, image.note);
        return answer;
      }
      if (answer.first_choice) continue;
      answer.first_choice = &image;
      answer.why = reason;
    }
  }
  if (!answer.first_choice) answer.why = "no image is known for this model, service and protocol";
  return answer;
}

}  // namespace qanat::pool
