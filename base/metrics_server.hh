// serve_metrics: GET /metrics and /healthz on a TCP address of their own, for Prometheus on another host.
// Numbers only, of no tenant's data; still an address for the operators' network, not for everybody.
#pragma once

#include <string>

namespace qanat::base {

class Daemon;
class MetricsRegistry;

// Empty address: nothing. The registry must live as long as the daemon. Throws std::system_error that names the address.
void serve_metrics(Daemon& daemon, const std::string& address, MetricsRegistry& registry);

}  // namespace qanat::base
