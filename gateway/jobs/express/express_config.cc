#include "base/config.hh"
#include "gateway/jobs/jobs_config.hh"

namespace qanat::jobs {

void read_express_config(base::ConfigTable& table, ExpressConfig& config) {
  for (const std::string& text : table.strings("off_peak")) {
    const auto window = parse_window(text);
    if (window)
      config.tariff.off_peak.push_back(*window);
    else
      table.problem("off_peak", "\"" + text + "\" is not a window",
                    "HH:MM-HH:MM, UTC, such as \"22:00-06:00\"");
  }
  config.tariff.peak_nano_per_mb = table.integer("peak_nano_per_mb", {0, 1'000'000'000}, 0);
  config.tariff.off_peak_nano_per_mb =
      table.integer("off_peak_nano_per_mb", {0, 1'000'000'000}, config.tariff.peak_nano_per_mb);
  for (base::ConfigTable& link : table.tables("link")) {
    ExpressConfig::SharedLink shared;
    shared.link.name = link.string("name");
    shared.link.bytes_per_s = link.number("mbps", {0.001, 1e7}) * 1e6 / 8;
    shared.sites = link.strings("sites");
    config.links.push_back(std::move(shared));
  }
}

}  // namespace qanat::jobs
