#include "tools/lab/generate_command.hh"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace qanat::lab {

int generate(const GenerateRequest& request) {
  GenerateOptions options = request.options;
  options.rate_bps = request.rate_mbit * 1e6;
  if (request.planetlab) {
    const std::string file = fmt::format("{}/net/planetlab/PlanetLabData_{}.gz", request.data, request.slice);
    const auto matrix = read_rtt_matrix(file);
    const auto hosts =
        request.hosts.empty() ? pick_rows(matrix.size(), request.count, options.seed) : request.hosts;
    if (options.name.empty()) options.name = "planetlab";
    fmt::print("# PlanetLab's round-trip times, slice {}, hosts {}; rates are {} Mbit/s throughout.\n{}",
               request.slice, fmt::join(hosts, ", "), request.rate_mbit,
               to_toml(generate_from_matrix(matrix, hosts, options)));
    return 0;
  }
  const CloudRegions measured(request.data + "/net/skyplane");
  if (request.list) {
    for (const auto& region : measured.regions()) fmt::print("{}\n", region);
    return 0;
  }
  if (options.name.empty()) options.name = "regions";
  fmt::print("# Skyplane's measurements between {}; rates are {} of what was measured.\n{}",
             fmt::join(request.regions, ", "), options.rate_scale,
             to_toml(generate_from_regions(measured, request.regions, options)));
  return 0;
}

}  // namespace qanat::lab
