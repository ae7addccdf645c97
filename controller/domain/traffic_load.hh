// TrafficLoad: what goes over things that can be full, tier by tier: how one level tells the other of the traffic whose ways it
// chooses, without its pairs. A value.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "controller/domain/traffic_question.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::domain {

class TrafficLoad {
 public:
  // Of one row, shared alike by its pairs, no more asks than this are made: beyond, each stands for several pairs.
  static constexpr std::uint32_t kMostAsks = 32;

  struct Row {
    CapacityBook::Key resource;  // a line or a relay
    ids::Tier tier{};
    auto operator<=>(const Row&) const = default;
  };
  struct Amount {
    double bps = 0;
    std::uint32_t pairs = 0;
    bool operator==(const Amount&) const = default;
  };

  void add(const CapacityBook::Key& resource, ids::Tier tier, double bps, std::uint32_t pairs = 1);
  bool empty() const { return rows_.empty(); }
  const std::map<Row, Amount>& rows() const { return rows_; }
  // As asks that the book's capacities are shared with; what it does not know is left out.
  void join(std::vector<ForeignAsk>& asks, const CapacityBook& book) const;

  // What cannot be (kinds, tiers, planes, nodes that `has` does not know) is passed over.
  static TrafficLoad read(const google::protobuf::RepeatedPtrField<proto::v1::TrafficUse>& uses,
                          const std::function<bool(std::uint32_t node)>& has);
  void write(google::protobuf::RepeatedPtrField<proto::v1::TrafficUse>& uses) const;

  bool operator==(const TrafficLoad&) const = default;

 private:
  std::map<Row, Amount> rows_;
};

// What each ask takes of each capacity, at the splits in force: take(ask, resource, bits/s).
void each_use(const TrafficQuestion& question,
              const std::function<void(const TrafficAsk&, const CapacityBook::Key&, double bps)>& take);

// Nothing: not sound. Ways are none.
std::optional<CapacityBook::Key> resource_of(const proto::v1::TrafficResource& resource,
                                             const std::function<bool(std::uint32_t node)>& has);
void write(const CapacityBook::Key& resource, proto::v1::TrafficResource& out);

}  // namespace qanat::domain
