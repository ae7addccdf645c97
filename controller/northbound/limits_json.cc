#include "controller/northbound/limits_json.hh"

#include <set>

#include "controller/policy/tenant_check.hh"
#include "identifiers/ids/sid.hh"

namespace qanat::northbound {
namespace {

std::vector<std::uint8_t> read_planes(ObjectReader& at) {
  std::set<std::uint8_t> planes;
  const Json* list = at.take("planes", Json::value_t::array);
  if (list == nullptr) return {};
  for (const Json& item : *list) {
    const auto plane = item.is_number_unsigned() ? item.get<std::uint64_t>() : 0;
    if (plane < 1 || plane > ids::PlaneId::kMax)
      at.problem("planes", item.dump() + " is no plane, 1 to 15");
    else if (!planes.insert(static_cast<std::uint8_t>(plane)).second)
      at.problem("planes", item.dump() + " is there twice");
  }
  if (list->empty()) at.problem("planes", "empty; left out, the tenant may travel on every plane");
  return {planes.begin(), planes.end()};
}

std::vector<std::string> read_zones(ObjectReader& at) {
  std::vector<std::string> zones = at.strings("within");
  std::set<std::string> seen;
  for (const std::string& zone : zones) {
    if (zone.empty() || !policy::good_location(zone))
      at.problem("within", "'" + zone + "' is no place, as guian.gz.cn");
    if (!seen.insert(zone).second) at.problem("within", "'" + zone + "' is there twice");
  }
  if (at.has("within") && zones.empty())
    at.problem("within", "empty; left out, the tenant may travel over every relay");
  return zones;
}

}  // namespace

std::vector<policy::Limit> read_limits(ObjectReader& root) {
  std::vector<policy::Limit> list;
  std::set<std::pair<std::string, std::optional<ids::Tier>>> seen;
  std::set<std::string> zones;
  root.objects("limits", [&](ObjectReader& at) {
    policy::Limit limit{.tenant = at.string("tenant", true)};
    if (!limit.tenant.empty() && !policy::good_name(limit.tenant))
      at.problem("tenant", "'" + limit.tenant + "' is no name");
    const std::string tier = at.string("tier");
    limit.tier = ids::parse_tier(tier);
    if (!tier.empty() && !limit.tier) at.problem("tier", "critical, interactive, bulk or scavenger");
    limit.planes = read_planes(at);
    limit.within = read_zones(at);
    zones.insert(limit.within.begin(), limit.within.end());
    if (!at.has("planes") && !at.has("within"))
      at.problem("planes", "missing, and within too: this limits nothing");
    if (!seen.emplace(limit.tenant, limit.tier).second) at.problem("tier", "limited twice");
    list.push_back(std::move(limit));
  });
  if (zones.size() > policy::kMostZones)
    root.problem("limits", "more than " + std::to_string(policy::kMostZones) + " places in within");
  return list;
}

Json limit_json(const policy::Limit& limit) {
  Json json{{"tenant", limit.tenant}};
  if (limit.tier) json["tier"] = ids::to_string(*limit.tier);
  if (!limit.planes.empty()) json["planes"] = limit.planes;
  if (!limit.within.empty()) json["within"] = limit.within;
  return json;
}

}  // namespace qanat::northbound
