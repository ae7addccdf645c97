#include "controller/northbound/json_views.hh"

#include "controller/northbound/object_reader.hh"

namespace qanat::northbound {

namespace {

Json members_json(const session::TenantView& tenant) {
  Json members = Json::array();
  for (const auto& m : tenant.members) {
    members.push_back(
        {{"node", m.node}, {"addresses", m.addresses}, {"prefixes", m.prefixes}, {"labels", m.labels}});
  }
  return members;
}

}  // namespace

Json tenant_json(const session::TenantView& tenant) {
  Json json{{"vni", tenant.vni}, {"members", members_json(tenant)}};
  if (tenant.policy) json["policy"] = *tenant.policy;
  return json;
}

std::string to_json(const session::Status& s) {
  Json json{{"name", s.name},
            {"role", s.role},
            {"domain", s.domain},
            {"epoch", s.epoch},
            {"members", s.members},
            {"connected", s.connected},
            {"links_usable", s.links_usable},
            {"policies", s.policies}};
  if (s.role == "domain") {
    json["relay_probes_per_s"] = s.relay_probes_per_s;
    json["probes_stretched"] = s.probes_stretched;
  }
  if (!s.parent.empty()) json["parent"] = s.parent;
  if (!s.leader.empty()) json["leader"] = s.leader;
  return text_of(json);
}

std::string to_json(const session::RotationStatus& s) {
  Json json{{"phase", s.phase}, {"members", s.members}, {"done", s.done}, {"waiting_for", s.waiting_for}};
  if (!s.fingerprint.empty()) {
    json["serial"] = s.serial;
    json["fingerprint"] = s.fingerprint;
    json["expires_unix_s"] = s.expires_unix_s;
  }
  return text_of(json);
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
  return text_of(out);
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
                   {"reordered_ppm", l.reordered_ppm},
                   {"alive", l.state == "usable"},
                   {"state", l.state},
                   {"age_ms", l.age_ms}});
  }
  return text_of(out);
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
                   {"preference", p.preference},
                   {"weight", p.weight ? Json(*p.weight) : Json()},
                   {"allocated_bps", static_cast<std::uint64_t>(p.allocated_bps)},
                   {"shares", p.shares},
                   {"reason", p.reason.empty() ? Json() : Json(p.reason)}});
  }
  return text_of(out);
}

std::string to_json(const std::vector<session::TenantView>& tenants) {
  Json out = Json::array();
  for (const auto& t : tenants) {
    out.push_back(
        {{"name", t.name}, {"vni", t.vni}, {"members", members_json(t)}, {"from_parent", t.from_parent}});
    if (t.policy) out.back()["policy"] = *t.policy;
  }
  return text_of(out);
}

std::string to_json(const session::Event& event) {
  Json json = Json::object();
  for (const auto& [key, value] : event.fields) json[key] = value;
  return text_of(json);
}

std::variant<JoinTokenRequest, Problems> parse_join_token_request(std::string_view body) {
  Problems problems;
  const Json json = Json::parse(body, nullptr, false);
  ObjectReader reader(json, "", problems);
  JoinTokenRequest request;
  request.node = reader.string("node", true);
  if (const Json* relay = reader.take("relay", Json::value_t::boolean)) request.relay = relay->get<bool>();
  if (reader.has("ttl_s")) request.ttl_s = reader.number("ttl_s", 1, 365 * 86'400);
  reader.finish();
  if (!problems.empty()) return problems;
  return request;
}

session::TenantView read_tenant(std::string_view name, ObjectReader& reader) {
  session::TenantView tenant;
  tenant.name = std::string(name);
  tenant.vni = static_cast<std::uint32_t>(reader.number("vni", 0, 0xffffff, true));
  reader.objects(
      "members",
      [&](ObjectReader& member) {
        session::TenantMemberView view;
        view.node = member.string("node", true);
        view.addresses = member.strings("addresses");
        view.prefixes = member.strings("prefixes");
        view.labels = member.strings("labels");
        tenant.members.push_back(std::move(view));
      },
      true);
  if (reader.has("policy")) tenant.policy = reader.strings("policy");
  return tenant;
}

std::variant<session::TenantView, Problems> parse_tenant(std::string_view name, std::string_view body) {
  Problems problems;
  const Json json = Json::parse(body, nullptr, false);
  ObjectReader reader(json, "", problems);
  session::TenantView tenant = read_tenant(name, reader);
  reader.finish();
  if (!problems.empty()) return problems;
  return tenant;
}

}  // namespace qanat::northbound
