// qanat matrix: what boxes measured to each other, direction by direction, now or at a time that was.
#include <fmt/format.h>

#include <ctime>
#include <nlohmann/json.hpp>

#include "base/config.hh"
#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

std::string target_of(const MatrixRequest& request) {
  if (!request.at.empty() && !request.ago.empty())
    throw CommandError{kWrongUsage, "--at and --ago say the same twice", "one of them"};
  if (!request.at.empty()) return "/v1/matrix?at=" + base::percent_encode(request.at);
  if (request.ago.empty()) return "/v1/matrix";
  const auto ago = base::parse_duration(request.ago);
  if (!ago || *ago < base::Duration{})
    throw CommandError{kWrongUsage, fmt::format("--ago: '{}' is no duration", request.ago), "--ago 10m"};
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*ago).count();
  return fmt::format("/v1/matrix?at={}", std::time(nullptr) - seconds);
}

bool asked_for(const MatrixRequest& request, const json& link) {
  return (request.from.empty() || link.value("from", "") == request.from) &&
         (request.to.empty() || link.value("to", "") == request.to);
}

}  // namespace

int show_matrix(const Options& options, const MatrixRequest& request) {
  json links = ask(find_controller(options), "GET", target_of(request));
  json wanted = json::array();
  for (json& link : links)
    if (asked_for(request, link)) wanted.push_back(std::move(link));
  if (wanted.empty() && !(request.from.empty() && request.to.empty()))
    throw CommandError{kNotFound, "nobody measures that",
                       "`qanat node list` shows the names and who is connected"};
  if (options.json) {
    fmt::print("{}\n", wanted.dump(2));
    return 0;
  }
  Table table{{"FROM", "TO", ">PLANES", "STATE", ">RTT", ">LOSS", ">JITTER", ">REORDERED", ">AGE"}};
  for (const json& l : wanted) {
    const bool known = l.value("rtt_us", 0.0) > 0;
    table.row({l.value("from", ""), l.value("to", ""),
               fmt::format("{}-{}", l.value("from_plane", 0), l.value("to_plane", 0)), l.value("state", ""),
               known ? milliseconds(l.value("rtt_us", 0.0)) : "-", percent(l.value("loss_ppm", 0.0)),
               milliseconds(l.value("jitter_us", 0.0)), percent(l.value("reordered_ppm", 0.0)),
               fmt::format("{:.1f} s", l.value("age_ms", 0.0) / 1000)});
  }
  fmt::print("{}", table.text(terminal_width()));
  return 0;
}

}  // namespace qanat::cli
