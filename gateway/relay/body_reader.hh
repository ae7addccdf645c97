// BodyReader: reading a request's body member by member, with the first thing that is wrong kept for its caller. Internal to
// relay.
#pragma once

#include <simdjson.h>

#include <optional>
#include <string>
#include <string_view>

#include "gateway/relay/request_scan.hh"

namespace qanat::relay {

class BodyReader {
 public:
  BadRequest& problem() { return problem_; }

 protected:
  using Element = simdjson::dom::element;
  using Given = std::optional<Element>;  // nothing: missing, or null

  // Each notes what is wrong and is false.
  bool fail(Errc code, const std::string& param, std::string_view what) {
    problem_ = {code, param, "'" + param + "' " + std::string(what)};
    return false;
  }
  bool unsupported(const std::string& param, std::string_view why) {
    return fail(Errc::Unsupported, param, "is not supported: " + std::string(why));
  }
  bool wrong(const std::string& param, std::string_view expected) {
    return fail(Errc::WrongType, param, "must be " + std::string(expected));
  }

  static std::string raw(Element value) { return simdjson::minify(value); }
  static Given in(simdjson::dom::object object, std::string_view key) {
    Element value;
    if (object.at_key(key).get(value) || value.is_null()) return std::nullopt;
    return value;
  }
  static std::string_view string_of(const Given& value) {
    std::string_view text;
    if (value && value->get_string().get(text)) return {};
    return text;
  }

  BadRequest problem_;
};

}  // namespace qanat::relay
