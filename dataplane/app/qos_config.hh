// QosConfig: what qanatd's file says about quality of service: [qos], [[classify]], rates of lines and tenants
// (docs/specifications/seams.md §2).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>

#include "dataplane/qos/policy.hh"
#include "dataplane/qos/window.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

struct QosConfig {
  qos::PolicyConfig policy;                        // but for tenants
  std::map<std::uint32_t, qos::TenantPlan> plans;  // by VNI

  // As it holds at that moment.
  qos::PolicyConfig at(const qos::WeekTime& time) const;
};

// "50mbit", "1.5gbit", "800kbit", "9600bit": bits per second, at least 1.
std::optional<std::uint64_t> parse_rate(std::string_view text);

// A rate, 0 where the key is missing; a problem is noted in the table.
std::uint64_t read_rate(base::ConfigTable& table, std::string_view key);
// [qos] and [[classify]]; problems are noted in the table.
void read_qos(base::ConfigTable& root, QosConfig& config);
// `rate` of a [[line]]; lines are read in order.
void read_line_rate(base::ConfigTable& line, QosConfig& config);
// Rates and windows of a [tenant.VNI].
void read_tenant_rates(base::ConfigTable& tenant, std::uint32_t vni, QosConfig& config);

// Now, on this machine's clock and in its time zone.
qos::WeekTime week_time_now();

}  // namespace qanat::app
