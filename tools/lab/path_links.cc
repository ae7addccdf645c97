#include "tools/lab/path_links.hh"

#include <algorithm>

#include "identifiers/ids/sid.hh"

namespace qanat::lab {

std::vector<int> hop_planes(const PathView& path) {
  // The line of hop i + 1 is the choice of relay i, in its own segment; the first one is the headend's.
  std::vector<int> planes = {path.first_plane};
  for (std::size_t i = 0; i + 1 < path.segments.size(); ++i) {
    const auto sid = ids::parse_sid(path.segments[i]);
    planes.push_back(sid ? static_cast<int>(sid->plane().value) : 0);
  }
  return planes;
}

std::string to_string(const PathView& path, const Topology& topology) {
  const auto planes = hop_planes(path);
  std::string out = path.from;
  for (std::size_t i = 0; i < path.names.size(); ++i) {
    const Plane* plane = i < planes.size() ? topology.plane(planes[i]) : nullptr;
    out += " -" + (plane ? plane->name : std::string("any")) + "- " + path.names[i];
  }
  return out;
}

std::vector<std::string> links_of(const PathView& path, const Topology& topology) {
  const auto planes = hop_planes(path);
  std::vector<std::string> out;
  std::string at = path.from;
  int plane = path.first_plane;
  for (std::size_t i = 0; i < path.names.size(); ++i) {
    if (i < planes.size() && planes[i] != 0) plane = planes[i];
    const auto link = std::find_if(topology.links.begin(), topology.links.end(), [&](const Link& l) {
      return l.plane == plane && ((l.a == at && l.b == path.names[i]) || (l.b == at && l.a == path.names[i]));
    });
    if (link == topology.links.end()) return {};
    out.push_back(link->name);
    at = path.names[i];
  }
  return out;
}

std::string longest_link(const std::vector<std::string>& names, const Topology& topology) {
  const auto delay = [&](const std::string& name) {
    const Link* link = topology.link(name);
    return link ? link->up.delay : base::Duration{};
  };
  const auto it = std::max_element(names.begin(), names.end(),
                                   [&](const auto& a, const auto& b) { return delay(a) < delay(b); });
  return it == names.end() ? std::string() : *it;
}

}  // namespace qanat::lab
