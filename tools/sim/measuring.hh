// Measuring: what it takes that boxes probe each other and report, as counted by the cores over a part of a run.
#pragma once

#include <cstdint>
#include <vector>

#include "base/time.hh"

namespace qanat::sim {

struct World;

// Bytes are whole datagrams with their IP and UDP headers for probes, framed messages without TLS and TCP for reports.
struct Measuring {
  struct Each {  // of all that do it
    double all_per_s = 0;
    double most_per_s = 0;  // the one with most
  };
  base::Duration over{};
  std::size_t boxes = 0;
  std::size_t most_peers = 0;  // whom a box was told to know
  Each probes, probe_bytes;    // of boxes: sent
  Each reports, report_bytes;  // of boxes: as their domains' controllers get them
  Each controller_bytes;       // of domain controllers: all boxes' reports
  Each domain_report_bytes;    // of domain controllers: to the global level
};

// Counts from its beginning to result(). A box that was started anew in between counts from then.
class MeasuringWatch {
 public:
  void begin(const World& world, base::Time now);
  Measuring result(const World& world, base::Time now) const;

 private:
  struct Counted {
    std::uint64_t probes = 0, probe_bytes = 0, reports = 0, report_bytes = 0;
  };
  static std::vector<Counted> count(const World& world);  // by entity
  std::vector<Counted> before_;
  base::Time began_{};
};

}  // namespace qanat::sim
