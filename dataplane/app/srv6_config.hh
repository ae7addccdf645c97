// Srv6Config: the [srv6] part of qanatd's file: links, segment identifiers, policies, keys (seams.md §2).
#pragma once

#include <string>
#include <vector>

#include "dataplane/srv6/tables.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

struct Srv6Link {
  std::string device;
  std::string netns;
  std::vector<std::string> routes;  // prefixes whose packets come to us: our locators
};

struct Srv6Config {
  std::vector<Srv6Link> links;  // none: no SRv6 edge
  srv6::TablesConfig tables;
  std::shared_ptr<const srv6::Tables> checked;  // null without links, or when there were problems
};

// Takes [srv6] and everything in it; problems are noted in the table. Reads the secrets of HMAC keys from their files.
void read_srv6(base::ConfigTable& root, Srv6Config& config);

}  // namespace qanat::app
