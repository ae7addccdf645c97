// ObjectReader: one JSON object's keys, read strictly: what is missing, of another type, out of range or unknown is noted, all
// of it. Included by .cc files alone: it brings all of nlohmann/json.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace qanat::northbound {

using Json = nlohmann::ordered_json;

// Text that came from elsewhere may be no UTF-8.
inline std::string text_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

class ObjectReader {
 public:
  ObjectReader(const Json& json, std::string where, std::vector<std::string>& problems)
      : json_(json), where_(std::move(where)), problems_(problems) {
    if (!json_.is_object()) problems_.push_back(where_ + "not an object");
  }
  bool has(const char* key) const { return json_.is_object() && json_.contains(key); }
  // Null when it is not there; notes it when it is required or of another type.
  const Json* take(const char* key, Json::value_t type, bool required = false) {
    known_.emplace_back(key);
    if (!json_.is_object()) return nullptr;
    const auto at = json_.find(key);
    if (at == json_.end()) {
      if (required) problem(key, "missing");
      return nullptr;
    }
    const bool fits = type == Json::value_t::number_unsigned ? at->is_number_unsigned()
                      : type == Json::value_t::number_float  ? at->is_number()
                                                             : at->type() == type;
    if (fits) return &*at;
    problem(key, std::string(at->type_name()) + ", expected " + expected(type));
    return nullptr;
  }
  std::string string(const char* key, bool required = false) {
    const Json* value = take(key, Json::value_t::string, required);
    return value == nullptr ? std::string() : value->get<std::string>();
  }
  std::uint64_t number(const char* key, std::uint64_t least, std::uint64_t most, bool required = false) {
    const Json* value = take(key, Json::value_t::number_unsigned, required);
    if (value == nullptr) return 0;
    const auto number = value->get<std::uint64_t>();
    if (least <= number && number <= most) return number;
    problem(key, "not " + std::to_string(least) + " to " + std::to_string(most));
    return 0;
  }
  // In units of 1/scale: milliseconds as µs, per cent as ppm. 0 to `most` units.
  std::uint32_t scaled(const char* key, double scale, std::uint32_t most) {
    const Json* value = take(key, Json::value_t::number_float);
    if (value == nullptr) return 0;
    const double units = std::ceil(value->get<double>() * scale);
    if (units >= 0 && units <= most) return static_cast<std::uint32_t>(units);
    problem(key, "not 0 to " + Json(most / scale).dump());
    return 0;
  }
  std::vector<std::string> strings(const char* key, bool required = false) {
    std::vector<std::string> out;
    const Json* list = take(key, Json::value_t::array, required);
    if (list == nullptr) return out;
    for (const Json& item : *list) {
      if (item.is_string()) {
        out.push_back(item.get<std::string>());
      } else {
        problem(key, "not a list of strings");
      }
    }
    return out;
  }
  // read(item's reader) for each object of a list; finishes each.
  template <class Read>
  void objects(const char* key, Read&& read, bool required = false) {
    const Json* list = take(key, Json::value_t::array, required);
    if (list == nullptr) return;
    for (std::size_t i = 0; i < list->size(); ++i) {
      ObjectReader item((*list)[i], where_ + key + "[" + std::to_string(i) + "].", problems_);
      read(item);
      item.finish();
    }
  }
  // read(reader) for an object; finishes it.
  template <class Read>
  void object(const char* key, Read&& read) {
    const Json* value = take(key, Json::value_t::object);
    if (value == nullptr) return;
    ObjectReader inside(*value, where_ + key + ".", problems_);
    read(inside);
    inside.finish();
  }
  void problem(const char* key, const std::string& what) { problems_.push_back(where_ + key + ": " + what); }
  void finish() {
    if (!json_.is_object()) return;
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) == known_.end())
        problems_.push_back(where_ + key + ": unknown key");
    }
  }

 private:
  static const char* expected(Json::value_t type) {
    switch (type) {
      case Json::value_t::number_unsigned: return "a whole number";
      case Json::value_t::number_float: return "a number";
      case Json::value_t::object: return "an object";
      case Json::value_t::array: return "an array";
      case Json::value_t::boolean: return "true or false";
      default: return "a string";
    }
  }

  const Json& json_;
  std::string where_;
  std::vector<std::string>& problems_;
  std::vector<std::string> known_;
};

}  // namespace qanat::northbound
