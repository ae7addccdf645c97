// Numbered datagrams between all members of all tenants, through the overlay, both as interactive and as critical
// traffic. Each says whose it is, so that one that arrives twice, elsewhere or altered is known at once; and since
// they never stop, each flow's silence is known too.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/time.hh"
#include "tools/lab/state.hh"

namespace qanat::chaos {

struct ProbeFlow {
  std::string tenant, from, to;
  bool critical = false;
  std::uint64_t sent = 0, received = 0,
                refused = 0;  // refused by the sender's kernel: no route while a box is down
  base::Time last_arrival{};
};

class Probes {
 public:
  static constexpr int kPort = 5996;  // interactive; critical one above
  static constexpr auto kEvery = std::chrono::milliseconds(40);
  // Bytes of the datagrams that the loop watch counts, each one byte longer than the last, kLoopLengths of them: longer
  // than the messages of daemons and tenants, shorter than full segments.
  static constexpr std::size_t kLoopPayload = 1140, kLoopLengths = 64;
  static constexpr int kTosLoop = 0x04;  // LE (RFC 8622): the scavenger tier, for them alone

  using Report = std::function<void(const char* invariant, std::string what)>;

  // Sockets on every tenant's hosts. Throws std::system_error.
  Probes(const lab::LabState& lab, base::Time now, Report report);
  ~Probes();
  Probes(const Probes&) = delete;
  Probes& operator=(const Probes&) = delete;

  // Sends what is due and reads what has come.
  void step(base::Time now);
  // One datagram of kLoopPayload bytes, on the next flow in turn.
  void send_for_loop_watch(base::Time now);
  const std::vector<ProbeFlow>& flows() const { return flows_; }

 private:
  struct Endpoint;
  struct Flow;
  void send(std::size_t flow, std::size_t payload, base::Time now);
  void read_all(Endpoint& endpoint, base::Time now);

  Report report_;
  std::vector<Endpoint> endpoints_;
  std::vector<ProbeFlow> flows_;
  std::vector<Flow> details_;
  base::Time next_;
  std::size_t turn_ = 0, loops_ = 0;
  std::uint64_t id_;
};

}  // namespace qanat::chaos
