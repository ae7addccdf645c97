#include "controller/northbound/json_views.hh"

#include <nlohmann/json.hpp>

namespace qanat::northbound {

using Json = nlohmann::ordered_json;

namespace {

std::string text(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json members_of(const session::TenantView& tenant) {
  Json members = Json::array();
  for (const auto& m : tenant.members) {
    members.push_back(
        {{"node", m.node}, {"addresses", m.addresses}, {"prefixes", m.prefixes}, {"labels", m.labels}});
  }
  return members;
}

// Reads one object's keys, noting everything that is wrong with it.
class ObjectReader {
 public:
  ObjectReader(const Json& json, std::string where, Problems& problems)
      : json_(json), where_(std::move(where)), problems_(problems) {
    if (!json_.is_object()) problems_.push_back(where_ + "not an object");
  }
  // Null when it is not there; notes it when it is required or of another type.
  const Json* take(const char* key, Json::value_t type, bool required) {
    known_.emplace_back(key);
    const auto at = json_.is_object() ? json_.find(key) : json_.end();
    if (!json_.is_object() || at == json_.end()) {
      if (required && json_.is_object()) problems_.push_back(where_ + key + ": missing");
      return nullptr;
    }
    const bool number = type == Json::value_t::number_unsigned;
    if (number ? !at->is_number_unsigned() : at->type() != type) {
      problems_.push_back(where_ + key + ": wrong type");
      return nullptr;
    }
    return &*at;
  }
  std::vector<std::string> strings(const char* key) {
    std::vector<std::string> out;
    const Json* list = take(key, Json::value_t::array, false);
    if (list == nullptr) return out;
    for (const Json& item : *list) {
      if (item.is_string()) {
        out.push_back(item.get<std::string>());
      } else {
        problems_.push_back(where_ + key + ": not a list of strings");
      }
    }
    return out;
  }
  void finish() {
    if (!json_.is_object()) return;
    for (const auto& [key, value] : json_.items()) {
      if (std::find(known_.begin(), known_.end(), key) == known_.end())
        problems_.push_back(where_ + key + ": unknown key");
    }
  }

 private:
  const Json& json_;
  std::string where_;
  Problems& problems_;
  std::vector<std::string> known_;
};

}  // namespace

std::string to_json(const session::Status& s) {
  Json json{{"name", s.name},
            {"role", s.role},
            {"domain", s.domain},
            {"epoch", s.epoch},
            {"members", s.members},
            {"connected", s.connected},
            {"links_usable", s.links_usable},
            {"policies", s.policies}};
  if (!s.parent.empty()) json["parent"] = s.parent;
  if (!s.leader.empty()) json["leader"] = s.leader;
  return text(json);
}

std::string to_json(const session::RotationStatus& s) {
  Json json{{"phase", s.phase}, {"members", s.members}, {"done", s.done}, {"waiting_for", s.waiting_for}};
  if (!s.fingerprint.empty()) {
    json["serial"] = s.serial;
    json["fingerprint"] = s.fingerprint;
    json["expires_unix_s"] = s.expires_unix_s;
  }
  return text(json);
}

std::string to_json(const std::vector<session::NodeView>& nodes) {
  Json out = Json::array();
  for (const auto& n : nodes) {
    Json lines = Json::array();
    for (const auto& l : n.lines) {
      lines.push_back({{"plane", l.plane}, {"address", l.address}, {"port", l.port}, {"name", l.name}});
    }
    out.push_back({{"node", n.node},
                   {"name", n.name},
                   {"domain", n.domain},
                   {"connected", n.connected},
                   {"relay", n.relay},
                   {"lines", lines},
                   {"location", n.location},
                   {"version_sent", n.version_sent},
                   {"version_acked", n.version_acked}});
  }
  return text(out);
}

std::string to_json(const std::vector<session::LinkView>& links) {
  Json out = Json::array();
  for (const auto& l : links) {
    out.push_back({{"from", l.from},
                   {"to", l.to},
                   {"from_plane", l.from_plane},
                   {"to_plane", l.to_plane},
                   {"rtt_us", l.rtt_us},
                   {"loss_ppm", l.loss_ppm},
                   {"jitter_us", l.jitter_us},
                   {"alive", l.state == "usable"},
                   {"state", l.state},
                   {"age_ms", l.age_ms}});
  }
  return text(out);
}

std::string to_json(const std::vector<session::PathView>& paths) {
  Json out = Json::array();
  for (const auto& p : paths) {
    out.push_back({{"from", p.from},
                   {"to", p.to},
                   {"tier", ids::to_string(p.tier)},
                   {"path", p.path},
                   {"segments", p.segments},
                   {"names", p.names},
                   {"first_plane", p.first_plane},
                   {"cost_us", p.cost_us},
                   {"preference", p.preference}});
  }
  return text(out);
}

std::string to_json(const std::vector<session::TenantView>& tenants) {
  Json out = Json::array();
  for (const auto& t : tenants) {
    out.push_back(
        {{"name", t.name}, {"vni", t.vni}, {"members", members_of(t)}, {"from_parent", t.from_parent}});
    if (t.policy) out.back()["policy"] = *t.policy;
  }
  return text(out);
}

std::string to_json(const session::Event& event) {
  Json json = Json::object();
  for (const auto& [key, value] : event.fields) json[key] = value;
  return text(json);
}

std::variant<JoinTokenRequest, Problems> parse_join_token_request(std::string_view body) {
  Problems problems;
  const Json json = Json::parse(body, nullptr, false);
  ObjectReader reader(json, "", problems);
  JoinTokenRequest request;
  if (const Json* node = reader.take("node", Json::value_t::string, true))
    request.node = node->get<std::string>();
  if (const Json* relay = reader.take("relay", Json::value_t::boolean, false))
    request.relay = relay->get<bool>();
  if (const Json* ttl = reader.take("ttl_s", Json::value_t::number_unsigned, false))
    request.ttl_s = ttl->get<std::uint64_t>();
  reader.finish();
  if (!problems.empty()) return problems;
  return request;
}

std::variant<session::TenantView, Problems> parse_tenant(std::string_view name, std::string_view body) {
  Problems problems;
  const Json json = Json::parse(body, nullptr, false);
  ObjectReader reader(json, "", problems);
  session::TenantView tenant;
  tenant.name = std::string(name);
  if (const Json* vni = reader.take("vni", Json::value_t::number_unsigned, true)) {
    if (const auto value = vni->get<std::uint64_t>(); value <= 0xffffff) {
      tenant.vni = static_cast<std::uint32_t>(value);
    } else {
      problems.emplace_back("vni: not 1 to 16777215");
    }
  }
  if (const Json* members = reader.take("members", Json::value_t::array, true)) {
    for (std::size_t i = 0; i < members->size(); ++i) {
      ObjectReader member((*members)[i], "members[" + std::to_string(i) + "].", problems);
      session::TenantMemberView view;
      if (const Json* node = member.take("node", Json::value_t::string, true))
        view.node = node->get<std::string>();
      view.addresses = member.strings("addresses");
      view.prefixes = member.strings("prefixes");
      view.labels = member.strings("labels");
      member.finish();
      tenant.members.push_back(std::move(view));
    }
  }
  if (json.is_object() && json.contains("policy")) tenant.policy = reader.strings("policy");
  reader.finish();
  if (!problems.empty()) return problems;
  return tenant;
}

}  // namespace qanat::northbound
