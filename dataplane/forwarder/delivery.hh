// Delivery: what reached its endpoint: may this node send that into this tenant, and which super-packets come of it.
// Opened packets of a batch are put in order of their counters before they are coalesced, so that reordering on the
// wire does not break the chains (and TCP sees less of it).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "dataplane/fib/snapshot.hh"
#include "dataplane/forwarder/counters.hh"
#include "dataplane/forwarder/flow_table.hh"
#include "dataplane/packet/coalescer.hh"
#include "dataplane/packet/drop_reason.hh"
#include "dataplane/packet/inner_header.hh"

namespace qanat::forwarder {

// One write to a tenant's TUN. Views into the received trains: valid until they are reused, or clear().
struct TunWrite {
  ids::Vni vni;
  packet::SuperPacket packet;
};

class Delivery {
 public:
  Delivery(packet::Coalescer::Options options, packet::DropCounters& drops, Counters& counters)
      : options_(options), drops_(drops), counters_(counters) {}

  // `flows` is asked about tenants with a policy; null while there is none.
  void set_snapshot(fib::SnapshotPtr snapshot, FlowTable* flows);

  // An opened packet of `from`: `packet` follows the inner header. `outer_ecn` is the arriving datagram's.
  void accept(ids::NodeId from, const packet::InnerHeader& header, packet::MutableBytes packet,
              std::uint32_t space, std::uint64_t counter, std::uint8_t outer_ecn);

  // A packet of this box itself for a tenant's TUN (an ICMP error). `packet` stays valid until clear().
  void accept_own(ids::Vni vni, packet::MutableBytes packet);

  // Everything accepted since the last clear(), as super-packets.
  std::span<const TunWrite> flush();
  void clear();
  bool pending() const { return !entries_.empty(); }

 private:
  struct Entry {
    std::uint32_t vni;
    std::uint32_t space;
    std::uint64_t counter;
    packet::MutableBytes bytes;
    packet::IpView view;
    bool partial;
    bool follows;  // of the flow of the entry that was accepted before it
  };
  bool allowed(ids::NodeId from, ids::Vni vni, const packet::IpView& view, packet::Bytes packet);

  packet::Coalescer::Options options_;
  packet::DropCounters& drops_;
  Counters& counters_;
  fib::SnapshotPtr snapshot_;
  FlowTable* flows_ = nullptr;
  std::vector<Entry> entries_;
  bool in_order_ = true;
  std::unordered_map<std::uint32_t, packet::Coalescer> coalescers_;  // by VNI
  std::vector<TunWrite> writes_;
  // The last verdict "allowed": a train is mostly one flow.
  struct Allowed {
    ids::NodeId from;
    ids::Vni vni;
    packet::IpAddress source;
    packet::IpAddress destination;
    bool valid = false;
  } last_;
};

}  // namespace qanat::forwarder
