// qanat trace: the way that a box's packets take now, and what each hop of it costs: every hop's figures are those of the
// node that measures it, the total is what the headend's own probes say.
#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <optional>

#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

// The best live line between two neighbours, by the controller's matrix; `plane`: only that one (0: any).
std::optional<json> hop_of(const json& matrix, const std::string& from, const std::string& to, int plane) {
  std::optional<json> best;
  for (const json& link : matrix) {
    if (link.value("from", "") != from || link.value("to", "") != to || !link.value("alive", false)) continue;
    if (plane != 0 && link.value("from_plane", 0) != plane) continue;
    if (!best || link.value("rtt_us", 0.0) < best->value("rtt_us", 0.0)) best = link;
  }
  return best;
}

// The plane that an End.X segment ("n2:x1") names; 0 for End.
int plane_of(const std::string& segment) {
  const auto at = segment.find(":x");
  return at == std::string::npos ? 0 : std::atoi(segment.c_str() + at + 2);
}

}  // namespace

int trace(const Options& options, const std::string& from, const std::string& to, const std::string& tier) {
  const auto box = find_box(options, from);
  if (!box)
    throw CommandError{kNotFound, "no box '" + from + "' on this machine",
                       "`qanat status` shows what runs; --socket PATH names a box's socket"};
  const std::string wanted = tier.empty() ? "interactive" : tier;
  const json paths =
      ask(*box, "GET", "/v1/paths?to=" + base::percent_encode(to) + "&tier=" + base::percent_encode(wanted));
  if (!paths.is_array() || paths.empty())
    throw CommandError{kNotFound, fmt::format("no path from {} to {}", from, to),
                       "`qanat node list` shows the names and who is connected"};
  const json& path = paths.front();
  // With --socket there is only the box: its own neighbours are known, the hops beyond are not.
  json matrix = json::array();
  std::string unknown;
  if (options.socket.empty() && !try_ask(find_controller(options), "/v1/matrix", matrix, unknown))
    matrix = json::array();

  json hops = json::array();
  double sum = 0;
  bool complete = true;
  std::string at = from;
  int plane = path.value("first_plane", 0);
  for (std::size_t i = 0; i < path["names"].size(); ++i) {
    const std::string next = path["names"][i];
    json hop{{"from", at}, {"to", next}};
    if (const auto link = hop_of(matrix, at, next, plane)) {
      hop["plane"] = (*link)["from_plane"];
      hop["rtt_us"] = (*link)["rtt_us"];
      hop["loss_ppm"] = (*link)["loss_ppm"];
      hop["age_ms"] = (*link)["age_ms"];
      sum += link->value("rtt_us", 0.0);
      hop["sum_us"] = sum;
    } else {
      complete = false;
    }
    hops.push_back(std::move(hop));
    at = next;
    plane = plane_of(path["segments"][i].get<std::string>());
  }
  const double total = path.value("rtt_us", 0.0);
  json result{{"from", from},
              {"to", to},
              {"tier", wanted},
              {"path", path.value("path", 0u)},
              {"alive", path["alive"]},
              {"rtt_us", total},
              {"loss_ppm", path["loss_ppm"]},
              {"hops", hops}};
  // What the hops' own round trips leave unexplained was spent inside relays and boxes.
  if (complete) result["queues_us"] = total - sum;
  if (options.json) {
    fmt::print("{}\n", result.dump(2));
    return 0;
  }
  Table table{{">HOP", "FROM", "TO", ">PLANE", ">RTT", ">SUM", ">LOSS", ">AGE"}};
  for (std::size_t i = 0; i < hops.size(); ++i) {
    const json& h = hops[i];
    const bool known = h.contains("rtt_us");
    table.row({std::to_string(i + 1), h["from"], h["to"], known ? h["plane"].dump() : "-",
               known ? milliseconds(h["rtt_us"].get<double>()) : "-",
               known ? milliseconds(h["sum_us"].get<double>()) : "-",
               known ? percent(h["loss_ppm"].get<double>()) : "-", known ? h["age_ms"].dump() + " ms" : "-"});
  }
  fmt::print("{}", table.text(terminal_width()));
  fmt::print("end to end {} ({} lost), {}\n", milliseconds(total), percent(path.value("loss_ppm", 0.0)),
             complete ? "of it " + milliseconds(std::max(total - sum, 0.0)) + " in queues and boxes"
                      : "the hops that show - are measured by nobody we could ask");
  return 0;
}

}  // namespace qanat::cli
