// Bandwidth as an intent has it: what operators say of planes (tolls, prices, windows of the day) and tenants' rates; and the
// newest plan of traffic. Included by .cc files alone.
#pragma once

#include <optional>

#include "controller/northbound/object_reader.hh"
#include "controller/policy/rules.hh"

namespace qanat::northbound {

// "price" and "off_peak" of one plane; nothing: it has none, or it is wrong, which is noted.
std::optional<policy::PlanePrice> read_price(ObjectReader& plane);
// "reserved" likewise.
std::optional<policy::PlaneReserve> read_reserve(ObjectReader& plane);
// By number, as read.
Json planes_json(const policy::Rules& rules);
std::vector<policy::TenantRate> read_rates(ObjectReader& root);
Json rate_json(const policy::TenantRate& rate);

}  // namespace qanat::northbound
