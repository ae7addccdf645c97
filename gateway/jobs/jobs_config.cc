#include "gateway/jobs/jobs_config.hh"

#include "base/config.hh"
#include "base/hex.hh"

namespace qanat::jobs {

void read_site_config(base::ConfigTable& table, SiteConfig& config) {
  config.folder = table.string("folder");
  config.quota_bytes =
      static_cast<std::uint64_t>(table.integer("quota_gb", {1, 1'000'000}, 100)) * 1'000'000'000;
  config.trust = table.strings("trust");
  for (const std::string& key : config.trust)
    if (const auto raw = base::from_base64(key); !raw || raw->size() != 32)
      table.problem("trust", "\"" + key + "\" is not a public key",
                    "32 bytes in base64, as GET /qanat/v1/store says");
}

}  // namespace qanat::jobs
