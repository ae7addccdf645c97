#include "controller/northbound/desk_views.hh"

#include "controller/northbound/grant.hh"
#include "controller/northbound/object_reader.hh"

namespace qanat::northbound {
namespace {

Json json_of(const TokenView& t) {
  return {{"id", t.id},
          {"name", t.name},
          {"role", to_string(t.role)},
          {"tenant", t.tenant},
          {"created_by", t.created_by},
          {"created_unix_s", t.created},
          {"expires_unix_s", t.expires}};
}

}  // namespace

std::string to_json(const Caller& caller) {
  return text_of(Json{{"name", caller.name}, {"role", to_string(caller.role)}, {"tenant", caller.tenant}});
}

std::string to_json(const Access::Made& made) {
  Json json = json_of(made.view);
  json["token"] = made.text;
  return text_of(json);
}

std::string to_json(const std::vector<TokenView>& tokens) {
  Json out = Json::array();
  for (const auto& token : tokens) out.push_back(json_of(token));
  return text_of(out);
}

std::string to_json(const Applied& applied) {
  return text_of(Json{{"version", applied.version},
                      {"changed", applied.changed},
                      {"differences", Json::parse(to_json(applied.differences))}});
}

std::string to_json(const std::vector<VersionView>& versions) {
  Json out = Json::array();
  for (const auto& v : versions) {
    out.push_back({{"version", v.version},
                   {"unix_s", v.unix_s},
                   {"who", v.by.who},
                   {"from", v.by.from},
                   {"action", v.action}});
  }
  return text_of(out);
}

std::string intent_document(std::uint64_t version, const Intent& intent) {
  Json json{{"version", version}};
  json.update(Json::parse(to_json(intent)));
  return text_of(json);
}

std::string audit_document(std::uint64_t count, const std::string& head,
                           const std::vector<AuditLog::Line>& lines) {
  Json list = Json::array();
  for (const auto& line : lines)
    list.push_back({{"sequence", line.sequence}, {"hash", line.hash}, {"text", line.text}});
  return text_of(Json{{"count", count}, {"head", head}, {"lines", list}});
}

std::variant<TokenRequest, Problems> parse_token_request(std::string_view body) {
  Problems problems;
  const Json json = Json::parse(body, nullptr, false);
  ObjectReader reader(json, "", problems);
  TokenRequest request;
  read_grant(reader, request);
  if (reader.has("ttl_s")) request.ttl_s = reader.number("ttl_s", 1, 3650ull * 86'400);
  reader.finish();
  if (!problems.empty()) return problems;
  return request;
}

}  // namespace qanat::northbound
