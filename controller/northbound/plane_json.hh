// What operators say of planes, as an intent has it: tolls, prices, windows of the day. Included by .cc files alone.
#pragma once

#include <optional>

#include "controller/northbound/object_reader.hh"
#include "controller/policy/rules.hh"

namespace qanat::northbound {

// "price" and "off_peak" of one plane; nothing: it has none, or it is wrong, which is noted.
std::optional<policy::PlanePrice> read_price(ObjectReader& plane);
// By number, as read.
Json planes_json(const policy::Rules& rules);

}  // namespace qanat::northbound
