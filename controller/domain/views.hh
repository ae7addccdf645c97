// Protobuf rows as operators see them, shared by both levels.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "controller/session/level.hh"
#include "controller/telemetry/matrix.hh"
#include "controller/topology/link_history.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::domain {

using NameOf = std::function<std::string(std::uint32_t node)>;

session::NodeView view_of(const proto::v1::NodeRecord& record);
session::TenantView view_of(const proto::v1::Tenant& tenant, const NameOf& name, bool from_parent);
// Members by name; ids stay 0.
proto::v1::Tenant tenant_of(const session::TenantView& view);
// All that is wrong with these as a level's tenants: each by itself, and a VNI used twice.
std::vector<std::string> problems_of(const std::vector<session::TenantView>& all);
// VNIs of the tenant's that others have.
std::vector<std::string> clashes(const proto::v1::Tenant& tenant, const std::vector<proto::v1::Tenant>& kept);
// Of links published at `at`, by a history of them and all that is published now.
session::PastMatrix past_matrix(const topology::LinkHistory& history, std::vector<telemetry::Link> published,
                                session::Now now, base::UnixSeconds at, const NameOf& name);
std::vector<session::LinkView> views_of(const std::vector<telemetry::Link>& links, base::Time now,
                                        const NameOf& name);
// The lists of a policy that fit the query; one without segments stands for a policy that has none.
void append_views(std::uint32_t headend, const proto::v1::SrPolicy& policy, const session::PathQuery& query,
                  const NameOf& name, std::vector<session::PathView>& out);

}  // namespace qanat::domain
