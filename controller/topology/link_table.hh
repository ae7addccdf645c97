// LinkTable: the links as path computation is told of them. Measurements move a little with every report; a link's cost is
// published anew only when its state changes or the cost has moved by what could matter, so that noise computes nothing.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <optional>
#include <vector>

#include "controller/telemetry/matrix.hh"
#include "controller/topology/topology.hh"

namespace qanat::topology {

// Against the cost published last. A route moves for 10 % and 1 ms (paths/selection.hh): a third and a fifth of that.
constexpr bool cost_moved(std::uint32_t published_us, std::uint32_t measured_us) {
  const std::uint32_t apart =
      published_us > measured_us ? published_us - measured_us : measured_us - published_us;
  const std::uint32_t share = published_us / 32;
  return apart >= (share > 200 ? share : 200);
}

class LinkTable {
 public:
  // What is known of a link now; Unknown takes it out. When something was published: what had been before (Unknown:
  // nothing).
  std::optional<telemetry::Link> update(const telemetry::Link& link);
  // The link is not heard of any more.
  std::optional<telemetry::Link> erase(const telemetry::LinkKey& key);
  // All links from and to a node that is gone: what had been published of them.
  std::vector<telemetry::Link> forget(ids::NodeId node);

  // Published links in the order of their keys: what a Topology is made from.
  std::vector<telemetry::Link> links() const;
  // Calls with each of them, in no order.
  template <typename F>
  void each(F&& with) const {
    for (const auto& [key, published] : links_) with(published.link);
  }
  std::size_t size() const { return links_.size(); }
  // How many of them paths may use.
  std::size_t usable() const { return usable_; }
  // Links published or taken out since the last call, as they are now, those gone as Unknown; in order, may repeat.
  std::vector<telemetry::Link> take_changes();
  bool changed() const { return !changes_.empty(); }

 private:
  struct Published {
    telemetry::Link link;
    std::uint32_t cost_us = kUnreachable;
  };
  boost::unordered_flat_map<telemetry::LinkKey, Published, telemetry::LinkKeyHash> links_;
  std::size_t usable_ = 0;
  std::vector<telemetry::LinkKey> changes_;
};

}  // namespace qanat::topology
