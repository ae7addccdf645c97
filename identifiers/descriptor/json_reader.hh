// JsonReader: strict, bounded reading of one JSON object into typed fields; the first problem sticks, with its place.
// Internal to the descriptor's parser.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "identifiers/descriptor/descriptor.hh"

namespace qanat::descriptor {

class JsonReader {
 public:
  using Json = nlohmann::json;
  // `node` outlives the reader; `problem` collects the first thing wrong of all readers that share it.
  JsonReader(const Json& node, std::string where, std::optional<Problem>& problem)
      : node_(node), where_(std::move(where)), problem_(problem) {
    if (!node_.is_object()) fail(Errc::WrongType, "");
  }

  void text(std::string_view key, std::string& out, bool required = true) {
    if (const Json* v = ask(key, required)) {
      if (!v->is_string()) return fail(Errc::WrongType, key);
      out = v->get<std::string>();
    }
  }
  template <class T>
  void integer(std::string_view key, T& out) {
    if (const Json* v = ask(key, true)) {
      if (!v->is_number_integer()) return fail(Errc::WrongType, key);
      if (!v->is_number_unsigned() || v->get<std::uint64_t>() > std::numeric_limits<T>::max())
        return fail(Errc::OutOfRange, key);
      out = static_cast<T>(v->get<std::uint64_t>());
    }
  }
  void number(std::string_view key, double& out) {
    if (const Json* v = ask(key, true)) {
      if (!v->is_number()) return fail(Errc::WrongType, key);
      out = v->get<double>();
    }
  }
  // The object or array at `key`, or null.
  const Json* object(std::string_view key) { return typed(key, Json::value_t::object); }
  const Json* array(std::string_view key) { return typed(key, Json::value_t::array); }

  std::string at(std::string_view key) const {
    return where_.empty() ? std::string{key} : where_ + "." + std::string{key};
  }
  void fail(Errc code, std::string_view key) {
    if (!problem_) problem_ = Problem{code, key.empty() ? where_ : at(key)};
  }
  // After the last field: keys that nobody asked for.
  void end() {
    if (problem_ || !node_.is_object()) return;
    for (const auto& [key, value] : node_.items())
      if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) return fail(Errc::UnknownKey, key);
  }

 private:
  const Json* ask(std::string_view key, bool required) {
    asked_.push_back(key);
    if (problem_) return nullptr;
    const auto it = node_.find(key);
    if (it != node_.end()) return &*it;
    if (required) fail(Errc::MissingKey, key);
    return nullptr;
  }
  const Json* typed(std::string_view key, Json::value_t type) {
    const Json* v = ask(key, true);
    if (v == nullptr || v->type() == type) return v;
    fail(Errc::WrongType, key);
    return nullptr;
  }

  const Json& node_;
  std::string where_;
  std::optional<Problem>& problem_;
  std::vector<std::string_view> asked_;
};

}  // namespace qanat::descriptor
