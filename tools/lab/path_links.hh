// From a box's path to the lab's links under it: which [[link]]s a packet on that path crosses.
// Pure: text in, names out.
#pragma once

#include <string>
#include <vector>

#include "tools/lab/topology.hh"

namespace qanat::lab {

// A path as qanatd's /v1/paths tells it.
struct PathView {
  std::string from, to;
  std::vector<std::string> segments;  // "n2:x1", "n3"
  std::vector<std::string> names;     // the segments' nodes: "relay1", "far1"
  int first_plane = 0;
  friend bool operator==(const PathView&, const PathView&) = default;
};

// The plane that each hop takes; 0 where the relay is free to choose (End rather than End.X).
std::vector<int> hop_planes(const PathView& path);
// "city -private- relay1 -internet- far1"
std::string to_string(const PathView& path, const Topology& topology);
// The links, hop by hop. A hop whose plane is open is taken to stay on the plane of the one before it. Empty when
// the topology has no such link.
std::vector<std::string> links_of(const PathView& path, const Topology& topology);
// The link with the longest delay among `names`: the wide-area one.
std::string longest_link(const std::vector<std::string>& names, const Topology& topology);

}  // namespace qanat::lab
