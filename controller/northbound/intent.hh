// Intent: all that operators want of a network, as one document: tenants, drains, prescribed ways, what planes cost, what
// tenants were promised, when nothing changes. `qanat apply` sends one; a document that leaves a section out leaves it as it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "controller/northbound/json_views.hh"
#include "controller/policy/rules.hh"
#include "controller/session/level.hh"

namespace qanat::northbound {

struct Intent {
  std::vector<session::TenantView> tenants;  // by name
  policy::Rules rules;
};

// A document as sent: the sections that it has, each in full.
struct Wanted {
  std::optional<std::uint64_t> based_on;  // "version": refused where another one is in force
  std::optional<std::vector<session::TenantView>> tenants;
  std::optional<std::vector<policy::Drain>> drains;
  std::optional<std::vector<policy::RouteRule>> routes;
  std::optional<std::map<std::uint8_t, std::uint32_t>> tolls_us;
  std::map<std::uint8_t, policy::PlanePrice> prices;      // with tolls_us
  std::map<std::uint8_t, policy::PlaneReserve> reserved;  // likewise
  std::optional<std::vector<policy::TenantRate>> rates;
  std::optional<std::vector<policy::Sla>> slas;
  std::optional<std::vector<policy::Freeze>> freezes;
  std::optional<std::vector<policy::Risk>> risks;
  std::optional<std::vector<policy::Limit>> limits;
  std::optional<std::uint32_t> moves_permille_a_minute;
};
// Strict; checks all that can be checked without knowing what is in force: names, prefixes, rules, VNIs and tenants that
// are used twice, times, limits.
std::variant<Wanted, Problems> parse_intent(std::string_view json);
Intent merged(Intent now, const Wanted& wanted);

// With every section; parse_intent() reads it back to the same.
std::string to_json(const Intent& intent);

struct Difference {
  enum class Kind { Added, Removed, Changed };
  Kind kind = Kind::Changed;
  std::string
      what;  // "tenant lab", "drain relay1", "route city far1", "plane 2", "rate lab", "sla lab interactive", "freeze …", "risk duct", "limit lab bulk", "pace"
  std::string before;  // JSON; empty: was not there
  std::string after;
};
std::vector<Difference> differences(const Intent& before, const Intent& after);
std::string to_json(const std::vector<Difference>& differences);

}  // namespace qanat::northbound
