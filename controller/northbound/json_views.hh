// What operators see as JSON text, and what they send as values. nlohmann/json stays in the .cc.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controller/session/level.hh"

namespace qanat::northbound {

std::string to_json(const session::Status& status);
std::string to_json(const std::vector<session::NodeView>& nodes);
std::string to_json(const std::vector<session::LinkView>& links);
std::string to_json(const std::vector<session::PathView>& paths);
std::string to_json(const std::vector<session::TenantView>& tenants);
std::string to_json(const session::Event& event);
std::string to_json(const std::vector<session::SlaView>& slas);
std::string to_json(const session::TrafficView& traffic);
std::string to_json(const session::RotationStatus& status);

struct JoinTokenRequest {
  std::string node;
  bool relay = false;
  std::uint64_t ttl_s = 3600;
};
using Problems = std::vector<std::string>;
// Strict: unknown keys and wrong types are problems, all of them at once.
std::variant<JoinTokenRequest, Problems> parse_join_token_request(std::string_view body);
// `name` comes from the path.
std::variant<session::TenantView, Problems> parse_tenant(std::string_view name, std::string_view body);

// ---- parts of larger documents ----
class ObjectReader;
session::TenantView read_tenant(std::string_view name, ObjectReader& reader);
// As an intent has it: without the name, which is its key.
nlohmann::ordered_json tenant_json(const session::TenantView& tenant);

}  // namespace qanat::northbound
