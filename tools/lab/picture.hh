// A lab as a picture: SVG with nodes where their delays put them, a curve per plane, what stands on each node, and,
// for a running lab, which links are cut. Values in, text out.
#pragma once

#include <set>
#include <string>

#include "tools/lab/topology.hh"

namespace qanat::lab {

struct PictureState {
  std::set<std::string> links_down;     // names
  std::set<std::string> links_touched;  // whose spec is no longer the topology's
  std::set<std::string> dead;           // daemons that have ended, as "qanatd-city"
};

std::string to_svg(const Topology& topology, const PictureState& now = {});

}  // namespace qanat::lab
