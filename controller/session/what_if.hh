// WhatIf: a question about a change that nobody makes, and its answer: who would go where, and whose promises would break.
// Names as operators use them; round trips in µs, losses in parts per million, rates in Mbit/s.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "identifiers/ids/tier.hh"

namespace qanat::session {

struct WhatIf {
  struct Link {  // both directions
    std::string a;
    std::string b;
    std::uint32_t plane = 0;  // 0: every plane
  };
  struct NewLink {  // both directions; replaces what is measured there
    std::string a;
    std::string b;
    std::uint32_t plane = 1;
    std::uint32_t rtt_us = 0;
    std::uint32_t loss_ppm = 0;
  };
  struct Capacity {  // of each direction
    std::string a;
    std::string b;
    std::uint32_t plane = 1;
    double mbps = 0;
  };
  struct Demand {
    std::string from;
    std::string to;
    std::string moved_to = {};  // where it goes instead; empty: it stays
    ids::Tier tier = ids::Tier::Bulk;
    double mbps = 0;  // 0: only its way is asked for
  };
  std::vector<std::string> fail_nodes;
  std::vector<std::string> fail_risks;  // all boxes and lines that share one
  std::vector<Link> fail_links;
  std::vector<std::uint32_t> fail_planes;
  std::vector<NewLink> add_links;
  std::map<std::uint8_t, std::uint32_t> tolls_us;  // by plane, instead of those in force
  std::vector<Demand> demands;
  std::vector<Capacity> capacities;  // of links that can be full; others cannot
};

struct WhatIfAnswer {
  struct Way {
    std::vector<std::string> names;     // relays, then the endpoint
    std::vector<std::uint32_t> planes;  // of each hop
    std::uint32_t cost_us = 0;
    std::uint32_t rtt_us = 0;
    std::uint32_t loss_ppm = 0;
    std::uint32_t jitter_us = 0;
  };
  struct Moved {
    std::string from;
    std::string to;
    std::optional<Way> before;
    std::optional<Way> after;  // nothing: cut off
  };
  struct SlaChange {
    std::string tenant;
    ids::Tier tier = ids::Tier::Bulk;
    std::string from;
    std::string to;
    std::string term;                     // "path", "latency", "loss", "jitter"
    std::uint32_t limit = 0;              // µs or ppm; 0 for "path"
    std::optional<std::uint32_t> before;  // nothing: no path
    std::optional<std::uint32_t> after;
  };
  struct Carried {
    std::string from;
    std::string to;
    std::string moved_to;
    ids::Tier tier = ids::Tier::Bulk;
    double asked = 0;
    double before = 0;
    double after = 0;
    std::optional<Way> way_before;
    std::optional<Way> way_after;
  };
  std::vector<std::string> problems;  // names and planes that do not exist; then nothing was computed
  std::size_t pairs = 0;              // looked at
  std::vector<Moved> moved;           // their first way is another, or none
  std::vector<SlaChange> broken;      // held before, not after
  std::vector<SlaChange> mended;
  std::vector<SlaChange> already_broken;
  std::vector<Carried> demands;
};

}  // namespace qanat::session
