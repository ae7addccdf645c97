// What a site's configuration says of artefacts and transfers: the table [artefacts] of gateways and pools.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gateway/jobs/express/schedule.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::jobs {

struct SiteConfig {
  std::string folder;  // empty: the site keeps nothing
  std::uint64_t quota_bytes = 0;
  std::vector<std::string> trust;  // public keys of gateways whose tickets and contracts count here
  std::string name;                // as tickets and contracts name it: the pool's id, the gateway's name
  std::string site;                // as contracts may name it too
};

struct ExpressConfig {
  Tariff tariff;
  struct SharedLink {
    Link link;
    std::vector<std::string> sites;  // pools or sites behind it; empty: all
  };
  std::vector<SharedLink> links;
};

// folder, quota_gb, trust.
void read_site_config(base::ConfigTable& table, SiteConfig& config);
// off_peak, peak_nano_per_mb, off_peak_nano_per_mb and [[artefacts.link]]: of gateways only.
void read_express_config(base::ConfigTable& table, ExpressConfig& config);

}  // namespace qanat::jobs
