// World: TCP flows over a sealed tunnel of many paths, over bare links, or both at once, in virtual time: the product's own
// Bundle, AckTracker, Resequencer, Eliminator and CoDel between linkem's own links and modelled TCP. No clock, no socket;
// the same seed gives the same figures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.hh"
#include "bench/grid/tcp_model.hh"
#include "dataplane/path/bundle.hh"

namespace qanat::grid {

// A link, both ways, in linkem's grammar.
struct LinkSpec {
  std::string forward;
  std::string reverse;
};

struct FlowSpec {
  bool tunnelled = true;
  std::size_t link = 0;  // of a flow that is not
  TcpOptions tcp;
  base::Duration start{};
};

struct Change {
  base::Duration at;
  std::size_t link;
  std::string forward;
};

struct Scenario {
  std::vector<LinkSpec> links;
  std::vector<std::size_t> pipes;  // the link of each of the tunnel's pipes
  std::vector<FlowSpec> flows;
  std::vector<Change> changes;
  base::Duration length = std::chrono::seconds{12};
  base::Duration warm_up = std::chrono::seconds{2};  // not counted
  std::uint64_t seed = 1;
  std::uint64_t queue_bytes = 8u << 20;  // of the tunnel's own queue, above CoDel
  base::Duration codel_target = std::chrono::milliseconds{60};
  base::Duration codel_interval = std::chrono::milliseconds{300};
  base::Duration urgent_every{};  // a critical packet of 100 bytes, by the first pipe
  path::BundleOptions bundle;
  double known_loss = 0;  // of every pipe, as probes found it
};

struct FlowResult {
  double goodput_bps = 0;  // of payload, after the warm-up
  std::uint64_t delivered_bytes = 0;
  std::uint64_t resent = 0, timeouts = 0;
};

struct PipeResult {
  double wire_bps = 0;  // after the warm-up
  path::Pipe::Counts counts;
  path::Congestion::State state{};
  double bandwidth = 0;
  base::Duration rtt{}, least_rtt{};
  double loss = 0;
};

struct Result {
  std::vector<FlowResult> flows;
  std::vector<PipeResult> pipes;
  path::Bundle::Counts bundle;
  double wire_per_goodput = 0;  // the tunnel's bytes on its links, both ways, per byte of its flows' payload
  double forward_per_goodput = 0;         // the way of the payload only
  std::vector<double> urgent_ms;          // one-way delays of critical packets, in order of arrival
  std::vector<double> urgent_at_s;        // and when they were sent
  std::vector<double> goodput_by_second;  // of the tunnel's flows, bit/s
  std::vector<double> raw_by_second;      // of the others
  std::uint64_t out_of_order = 0;         // segments that reached a tunnelled receiver after a later one
  std::uint64_t duplicates = 0;           // dropped by the eliminator
  std::uint64_t rebuilt = 0;              // from repairs
  std::uint64_t codel_drops = 0, late = 0, given_up = 0;  // queue; resequencer
  double mean_bundle_queue_ms = 0;
  std::uint64_t under_way = 0, lost_waiting = 0, copies = 0;  // at the end
};

Result run(const Scenario& scenario);

// What a datagram of the tunnel costs beside TCP's payload, on the wire: TCP and IP, our seal, UDP and IP.
inline constexpr std::uint32_t kTunnelSegment = 1340 - 52;
inline constexpr std::uint32_t kTunnelOverhead = 50 + 28;
inline constexpr std::uint32_t kRawSegment = 1448;
inline constexpr std::uint32_t kTcpHeaders = 52;

}  // namespace qanat::grid
