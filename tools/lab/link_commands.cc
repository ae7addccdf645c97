#include "tools/lab/link_commands.hh"

#include <fmt/format.h>
#include <signal.h>

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tools/lab/capture.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/topology.hh"

namespace qanat::lab {
namespace {

using nlohmann::json;

json find_link(const LabState& state, const std::string& name) {
  const json links = get(state.linkem_socket, "/v1/links");
  std::string names;
  for (const auto& link : links) {
    if (link.at("name") == name) return link;
    names += " " + link["name"].get<std::string>();
  }
  throw std::out_of_range("there is no link '" + name + "'; there are:" + names);
}

std::string sentence(const json& link) {
  const auto text = [](const json& direction) {
    const std::string spec = direction.at("spec");
    return spec.empty() ? std::string("a perfect wire") : spec;
  };
  return fmt::format("{}: up {}, down {}", link.at("name").get<std::string>(), text(link.at("up")),
                     text(link.at("down")));
}

}  // namespace

int set_link(const Options& options) {
  const LabState state = find_lab(options);
  find_link(state, options.target);
  std::string text;
  for (const auto& word : options.words) text += (text.empty() ? "" : ",") + word;
  if (const auto parsed = linkem::parse_spec(text); !parsed) {
    fmt::print(stderr, "{}\n", parsed.error().describe(text));
    return kWrongUsage;
  }
  const json change = {{options.direction, text}};
  const json after = call(state.linkem_socket, "PATCH", "/v1/links/" + options.target, change);
  answer(options, after, sentence(after));
  return kDone;
}

int clear_links(const Options& options) {
  const LabState state = find_lab(options);
  Topology topology;
  if (!load_topology(state.topology_file(), topology)) return kFailed;
  if (!options.target.empty()) find_link(state, options.target);
  json report = json::array();
  std::string text;
  for (const auto& link : topology.links) {
    if (!options.target.empty() && link.name != options.target) continue;
    const json after = call(state.linkem_socket, "PUT", "/v1/links/" + link.name,
                            {{"up", linkem::to_string(link.up)}, {"down", linkem::to_string(link.down)}});
    report.push_back(after);
    text += (text.empty() ? "" : "\n") + sentence(after);
  }
  answer(options, report, text);
  return kDone;
}

int list_links(const Options& options) {
  const LabState state = find_lab(options);
  const json links = get(state.linkem_socket, "/v1/links");
  if (options.as_json) {
    fmt::print("{}\n", links.dump(2));
    return kDone;
  }
  for (const auto& link : links) {
    std::uint64_t lost = 0, carried = 0;
    for (const char* direction : {"up", "down"}) {
      carried += link[direction]["out_packets"].get<std::uint64_t>();
      for (const auto& [reason, count] : link[direction]["dropped_packets"].items())
        lost += count.get<std::uint64_t>();
    }
    fmt::print("{}; {} packets carried, {} dropped\n", sentence(link), carried, lost);
  }
  return kDone;
}

int capture_link(const Options& options) {
  const LabState state = find_lab(options);
  const json link = find_link(state, options.target);
  // The end at --at NODE, or a's.
  std::string netns, device;
  for (const char* end : {"a", "b"}) {
    const std::string where = link[end].at("netns");
    if (!options.at.empty() && where != state.netns_of(options.at)) continue;
    netns = where;
    device = link[end].at("device");
    break;
  }
  if (device.empty()) throw std::out_of_range(options.target + " has no end at '" + options.at + "'");
  for (const int s : {SIGINT, SIGTERM}) signal(s, [](int) { set_interrupted(); });
  signal(SIGPIPE, SIG_IGN);
  CaptureOptions how;
  how.netns = netns;
  how.device = device;
  how.file = options.output;
  how.filter = options.filter;
  how.count = options.count;
  how.seconds = options.seconds;
  const auto packets = capture(how);
  const json report = {{"link", options.target},
                       {"device", device},
                       {"netns", netns},
                       {"packets", packets},
                       {"file", options.output}};
  if (options.output == "-")
    fmt::print(stderr, "{} packets\n", packets);
  else
    answer(options, report, fmt::format("{} packets of {} in {}", packets, options.target, options.output));
  return kDone;
}

}  // namespace qanat::lab
