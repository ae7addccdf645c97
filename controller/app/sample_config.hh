// What `qanat-controller --print-sample` prints; it passes --check-config as it stands.
#pragma once

#include <string_view>

namespace qanat::app {

inline constexpr std::string_view kSampleConfig =
    R"(# qanat-controller: a domain's controller, or the global one above the domains.
name = "guizhou"                       # shown to operators; a domain's name at the global level
role = "domain"                        # "domain" or "global"
domain = 1                             # 1 to 4095, this domain's number; left out (or 0) for "global"
state = "/var/lib/qanat/guizhou.db"    # CA, members, tenants, keys: mode 0600, back it up. Or, for several
                                       # controllers that stand in for each other: "etcd:http://192.0.2.5:2379,…"
listen = ["192.0.2.1:7443"]            # where boxes (or domains) connect: TLS 1.3
socket = "/run/qanat/controller.sock"  # REST for root on this host
northbound = "127.0.0.1:7480"          # the same REST over TCP, and the live page; optional
admin_token_file = "/etc/qanat/admin"  # at least 16 characters; needed with northbound
# viewer_token_file = "/etc/qanat/viewer" # may look, and change nothing: for screens, for Prometheus
log_level = "info"                     # trace, debug, info, warn, error

# A domain's way to the global controller: only where there are several domains.
# [parent]
# addresses = ["192.0.2.9:7443"]
# join_token_file = "/etc/qanat/join"  # made there with POST /v1/join-tokens {"node":"guizhou"}; read until enrolled

# How often nodes probe.
[probes]
active_interval_ms = 10                # paths in use and their backups; dead after three. In milliseconds
mesh_interval_ms = 200                 # every other adjacency
report_interval_ms = 500               # reports to this controller
relay_probes_per_s = 20000             # of paths in use, over any one relay: beyond, boxes ask theirs more rarely; 0: no bound

# Only with state = "etcd:…"; all of it optional.
# [etcd]
# user = "qanat"                       # with password_file
# password_file = "/etc/qanat/etcd-password"
# ca_file = "/etc/qanat/etcd-ca.pem"   # of https endpoints; certificate_file and key_file are our own
# lease_s = 2                          # how long a leader that is gone is still waited for

# [traces]                             # an OpenTelemetry collector
# endpoint = "http://127.0.0.1:4318"
)";

}  // namespace qanat::app
