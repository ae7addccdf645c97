// What a tenant must satisfy before any node is told of it: a node refuses a whole configuration for one bad prefix.
#pragma once

#include <string>
#include <vector>

namespace qanat::proto::v1 {
class Tenant;
class NodeRecord;
}  // namespace qanat::proto::v1

namespace qanat::policy {

// All that is wrong: VNI, name, members twice, addresses and prefixes that do not parse, have host bits set, or overlap
// between members. Empty: good.
std::vector<std::string> problems_of(const proto::v1::Tenant& tenant);

// All that is wrong with what a box says of itself: name, location labels, lines.
std::vector<std::string> problems_of(const proto::v1::NodeRecord& record);

// Names of nodes, domains and tenants: a-z, 0-9, "-", 1 … 63 of them, "-" neither first nor last (RFC 1123 §2.1).
bool good_name(const std::string& text);

// Location labels, the most specific first: "guian.gz.cn"; "" is one.
bool good_location(const std::string& text);

}  // namespace qanat::policy
