// Which boxes must be able to reach each other, seen from outside: some path of sound links and live relays between
// live boxes, for how long already. What convergence is held against. Values only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hh"
#include "tools/lab/topology.hh"

namespace qanat::chaos {

class Reachability {
 public:
  // Everything is sound since `now`.
  Reachability(const lab::Topology& topology, base::Time now);

  void link(const std::string& name, bool sound, base::Time now);
  // A daemon as the lab's state names it: "qanatd-city".
  void daemon(const std::string& name, bool sound, base::Time now);

  // Since when at least one path from box to box has been sound without a break; nothing if none is. Paths: a link
  // between them, or one relay between two links while every controller lives (it may have to say so first).
  std::optional<base::Time> since(const std::string& from, const std::string& to) const;

 private:
  // Nothing while it isn't sound.
  using Since = std::optional<base::Time>;
  Since direct(const std::string& a, const std::string& b) const;

  const lab::Topology& topology_;
  std::map<std::string, Since> links_, daemons_;
  base::Time start_;
};

}  // namespace qanat::chaos
