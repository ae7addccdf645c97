// Limits as an intent has them: where tenants' traffic may travel. Included by .cc files alone.
#pragma once

#include "controller/northbound/object_reader.hh"
#include "controller/policy/rules.hh"

namespace qanat::northbound {

std::vector<policy::Limit> read_limits(ObjectReader& root);
Json limit_json(const policy::Limit& limit);

}  // namespace qanat::northbound
