// FlowTable: the flows that a tenant's policy let somebody open, so that their answers pass without a rule of their own.
// One per worker (both directions of a flow meet in one), bounded: a set that is full forgets its stalest flow, and the
// opener's next packet brings it back.
#pragma once

#include <cstdint>
#include <vector>

#include "base/time.hh"
#include "dataplane/fib/snapshot.hh"

namespace qanat::forwarder {

class FlowTable {
 public:
  static constexpr std::size_t kSets = 8192;
  static constexpr std::size_t kWays = 8;
  static constexpr base::Duration kTcpIdle = std::chrono::hours{2};  // a keepalive's interval
  static constexpr base::Duration kOtherIdle = std::chrono::minutes{3};
  static constexpr base::Duration kClosing = std::chrono::seconds{30};  // after FIN or RST

  // `seed` keeps strangers from choosing which flows share a set. About 6 MiB, allocated here.
  explicit FlowTable(std::uint64_t seed) : seed_(seed), entries_(kSets * kWays) {}

  // The clock of what follows; coarse is fine.
  void advance(base::Time now) noexcept { now_ = now; }
  // The rules have changed: every flow is judged anew at its next packet.
  void renew() noexcept { ++generation_; }

  // Whether a packet of `from` to `to` may pass: of a known flow, an ICMP error about one, or one that `acl` lets it open
  // (it is then known). `packet` begins with its IP header, `view` is of it.
  bool admits(ids::Vni vni, const fib::Acl& acl, ids::NodeId from, ids::NodeId to, const packet::IpView& view,
              packet::Bytes packet) noexcept;
  // Flows that were forgotten before their time.
  std::uint64_t evictions() const noexcept { return evictions_; }

 private:
  // As its opener sees it.
  struct Flow {
    ids::Vni vni;
    std::uint8_t protocol = 0;
    std::uint16_t source_port = 0;
    std::uint16_t destination_port = 0;
    packet::IpAddress source;
    packet::IpAddress destination;

    Flow reversed() const noexcept {
      return {vni, protocol, destination_port, source_port, destination, source};
    }
    bool operator==(const Flow&) const = default;
  };
  struct Entry {
    Flow flow;
    base::Time until{};  // in the past: free
    std::uint32_t generation = 0;
  };
  Entry* set_of(const Flow& flow) noexcept;
  Entry* find(const Flow& flow) noexcept;
  bool quotes_known_flow(ids::Vni vni, const packet::IpView& view, packet::Bytes packet) noexcept;

  std::uint64_t seed_;
  std::vector<Entry> entries_;
  base::Time now_{};
  std::uint32_t generation_ = 1;
  std::uint64_t evictions_ = 0;
};

}  // namespace qanat::forwarder
