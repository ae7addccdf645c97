#include "controller/northbound/risks_json.hh"

#include <charconv>
#include <optional>
#include <set>

#include "controller/policy/tenant_check.hh"
#include "identifiers/ids/sid.hh"

namespace qanat::northbound {
namespace {

using Line = policy::Risk::Line;

std::string text(const Line& line) { return line.node + "/" + std::to_string(line.plane); }

// "relay1/2"; notes what is wrong with others.
std::optional<Line> read_line(ObjectReader& at, const std::string& item) {
  const auto slash = item.find('/');
  Line line{.node = item.substr(0, slash)};
  std::uint32_t plane = 0;
  const char* const end = item.data() + item.size();
  const char* const digits = slash == std::string::npos ? end : item.data() + slash + 1;
  const auto [stop, error] = std::from_chars(digits, end, plane);
  if (digits == end || stop != end || (*digits == '0' && end - digits > 1)) {
    at.problem("lines", "'" + item + "' is no line, expected a box and its plane as relay1/2");
  } else if (!policy::good_name(line.node)) {
    at.problem("lines", "'" + item + "': '" + line.node + "' is no name");
  } else if (error != std::errc() || plane < 1 || plane > ids::PlaneId::kMax) {
    at.problem("lines", "'" + item + "': no plane, 1 to 15");
  } else {
    line.plane = static_cast<std::uint8_t>(plane);
    return line;
  }
  return std::nullopt;
}

std::vector<Line> read_lines(ObjectReader& at, const std::set<std::string>& nodes) {
  std::vector<Line> lines;
  std::set<Line> seen;
  const auto items = at.strings("lines");
  for (const std::string& item : items) {
    const auto line = read_line(at, item);
    lines.push_back(line.value_or(Line{}));  // counts: one that is wrong is told once
    if (!line) continue;
    if (!seen.insert(*line).second) at.problem("lines", "'" + item + "' is there twice");
    if (nodes.contains(line->node)) at.problem("lines", "'" + item + "': all of its box is in nodes");
  }
  if (items.size() > policy::kMostRiskLines)
    at.problem("lines", "more than " + std::to_string(policy::kMostRiskLines));
  return lines;
}

}  // namespace

std::vector<policy::Risk> read_risks(ObjectReader& root) {
  std::vector<policy::Risk> list;
  std::set<std::string> seen;
  root.objects("risks", [&](ObjectReader& at) {
    policy::Risk risk{.name = at.string("name", true), .nodes = at.strings("nodes", !at.has("lines"))};
    if (!risk.name.empty() && !policy::good_name(risk.name))
      at.problem("name", "'" + risk.name + "' is no name");
    if (!seen.insert(risk.name).second) at.problem("name", "'" + risk.name + "' is there twice");
    std::set<std::string> nodes;
    for (const auto& node : risk.nodes) {
      if (!policy::good_name(node)) at.problem("nodes", "'" + node + "' is no name");
      if (!nodes.insert(node).second) at.problem("nodes", "'" + node + "' is there twice");
    }
    risk.lines = read_lines(at, nodes);
    const bool any = at.has("nodes") || at.has("lines");
    if (const std::size_t count = risk.nodes.size() + risk.lines.size(); any && count < 2)
      at.problem(at.has("lines") ? "lines" : "nodes", "fewer than two share nothing");
    list.push_back(std::move(risk));
  });
  if (list.size() > policy::kMostRisks)
    root.problem("risks", "more than " + std::to_string(policy::kMostRisks));
  return list;
}

Json risk_json(const policy::Risk& risk) {
  Json json{{"name", risk.name}};
  if (!risk.nodes.empty()) json["nodes"] = risk.nodes;
  for (const Line& line : risk.lines) json["lines"].push_back(text(line));
  return json;
}

}  // namespace qanat::northbound
