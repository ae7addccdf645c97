// A grant: who gets which role, and of which tenant; what tokens and accounts are asked for with.
#pragma once

#include <string>

#include "controller/northbound/access.hh"
#include "controller/northbound/object_reader.hh"

namespace qanat::northbound {

// The members "name", "role" and "tenant" (optional) of a request, its problems noted at the reader.
template <class Request>
void read_grant(ObjectReader& reader, Request& request) {
  request.name = reader.string("name", true);
  const std::string role = reader.string("role", true);
  if (const auto known = parse_role(role)) {
    request.role = *known;
  } else if (!role.empty()) {
    reader.problem("role", "viewer, operator or admin");
  }
  request.tenant = reader.string("tenant");
}

}  // namespace qanat::northbound
