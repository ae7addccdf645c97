// What faults make of links: the topology's specs, and on top of them what each running scenario has set. Scenarios
// overlap; when one takes its fault back, the others' stay. Values only.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tools/lab/topology.hh"

namespace qanat::chaos {

class LinkFaults {
 public:
  explicit LinkFaults(const lab::Topology& topology);

  // `owner` is a scenario's run. items as parse_spec takes them; direction "both", "up" or "down".
  void set(std::uint64_t owner, const std::string& link, const std::string& direction,
           const std::string& items);
  void clear(std::uint64_t owner, const std::string& link);
  void clear_all(const std::string& link) { layers_.erase(link); }

  struct Specs {
    linkem::Spec up, down;
  };
  Specs specs(const std::string& link) const;
  bool disturbed(const std::string& link) const;
  std::vector<std::string> disturbed() const;

 private:
  struct Layer {
    std::uint64_t owner;
    std::string direction, items;
  };
  std::map<std::string, Specs> topology_;
  std::map<std::string, std::vector<Layer>> layers_;
};

}  // namespace qanat::chaos
