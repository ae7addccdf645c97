// SlaBook: what applications on this box asked of the network, by name, and whether it is kept. Held in memory: whoever
// asked asks again after a restart.
#pragma once

#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "dataplane/app/event_hub.hh"
#include "dataplane/forwarder/status.hh"
#include "dataplane/qos/sla.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::app {

struct SlaRequest {
  std::string to;  // a node; empty: every destination
  ids::Tier tier = ids::Tier::Interactive;
  qos::SlaTerms terms;
};

// {"to","tier","latency_ms","jitter_ms","loss_pct","bandwidth_mbps","bytes","deadline_s"}; all that is wrong with it in
// `problems`.
SlaRequest read_sla(const nlohmann::json& body, std::vector<std::string>& problems);

class SlaBook {
 public:
  static constexpr std::size_t kMost = 256;
  using NameOf = std::function<std::string(ids::NodeId)>;

  explicit SlaBook(NameOf name_of) : name_of_(std::move(name_of)) {}

  // Anew under its name, from now. False: there are as many as may be.
  bool put(const std::string& name, SlaRequest request, base::Time now);
  bool erase(const std::string& name) { return entries_.erase(name) != 0; }
  bool empty() const { return entries_.empty(); }

  // A few times a second: "sla_violated", "sla_predicted", "sla_cleared".
  std::vector<HubEvent> evaluate(const forwarder::Status& status, base::Time now);
  nlohmann::json list() const;
  std::optional<nlohmann::json> show(const std::string& name) const;

 private:
  struct Entry {
    SlaRequest request;
    base::Time set;
    std::map<ids::NodeId, qos::SlaMonitor> monitors;  // by destination
  };
  nlohmann::json show(const std::string& name, const Entry& entry) const;

  NameOf name_of_;
  std::map<std::string, Entry> entries_;
};

}  // namespace qanat::app
