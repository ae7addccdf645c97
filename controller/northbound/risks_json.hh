// Shared risks as an intent has them: which boxes and lines go down together. Included by .cc files alone.
#pragma once

#include "controller/northbound/object_reader.hh"
#include "controller/policy/rules.hh"

namespace qanat::northbound {

std::vector<policy::Risk> read_risks(ObjectReader& root);
Json risk_json(const policy::Risk& risk);

}  // namespace qanat::northbound
