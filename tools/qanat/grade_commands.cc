// qanat grade: how well a gateway served: first tokens, pace, availability; each miss with its cause, and those ahead.
#include <fmt/format.h>

#include <chrono>
#include <nlohmann/json.hpp>

#include "base/config.hh"
#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/data_command.hh"
#include "tools/qanat/noun.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

// With --socket everybody's, as who runs the gateway sees them; else the key's tenant's.
json grades(const NounArguments& a) {
  std::string query;
  if (!a.until.empty()) {
    const auto span = base::parse_duration(a.until);
    if (!span) throw CommandError{kWrongUsage, "--since: \"" + a.until + "\" is not a duration", "24h, 90m"};
    const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now().time_since_epoch());
    query = "?since=" + std::to_string(now.count() - span->count() / 1'000'000);
  }
  if (a.options.socket.empty()) return call(a, "GET", "/qanat/v1/grades" + query);
  if (!a.name.empty()) query += (query.empty() ? "?" : "&") + ("tenant=" + base::percent_encode(a.name));
  return ask({"the gateway at " + a.options.socket, "unix:" + a.options.socket, "", ""}, "GET",
             "/v1/grades" + query);
}

std::string of_calls(const json& row, const char* key) {
  return fmt::format("{:.3f} %", 100 * row.value(key, 0.0));
}

// "p50 / p99", in milliseconds.
std::string spread(const json& row, const char* key) {
  const json s = row.value(key, json());
  if (!s.is_object()) return "-";
  return fmt::format("{:.0f} / {:.0f}", s.value("p50", 0.0), s.value("p99", 0.0));
}

std::string causes(const json& row) {
  std::string all;
  for (const auto& [cause, count] : row.value("misses", json::object()).items())
    all += (all.empty() ? "" : ", ") + fmt::format("{} {}", count.dump(), cause);
  return all.empty() ? "-" : all;
}

int list(const NounArguments& a) {
  const json all = grades(a);
  Table table{{"TENANT", "MODEL", ">CALLS", ">ANSWERED", ">SLA KEPT", ">TTFT MS P50 / P99",
               ">TPOT MS P50 / P99", "MISSES"}};
  for (const json& row : all.value("grades", json::array()))
    table.row({text(row, "tenant"), text(row, "model"), text(row, "calls"), of_calls(row, "availability"),
               of_calls(row, "sla_kept"), spread(row, "ttft_ms"), spread(row, "tpot_ms"), causes(row)});
  return shown(a, a.options.json ? all["grades"] : all, table, "no calls in this time");
}

int misses(const NounArguments& a) {
  const json all = grades(a);
  Table table{{"WHEN", "TENANT", "MODEL", "CALL", "CAUSE", "DETAIL"}};
  for (const json& m : all.value("misses", json::array()))
    table.row({clock_text(m["unix_ms"]), text(m, "tenant"), text(m, "model"), text(m, "call"),
               text(m, "cause"), text(m, "detail")});
  return shown(a, a.options.json ? all["misses"] : all, table, "every call kept its SLA in this time");
}

int ahead(const NounArguments& a) {
  const json all = grades(a);
  Table table{{"MODEL", "CAUSE", "POOL", ">TTFT MS", ">OF", ">CALLS EXPECTED", ">FIT"}};
  const auto number = [](const json& object, const char* key) {
    return object.contains(key) ? fmt::format("{:.0f}", object[key].get<double>()) : std::string("-");
  };
  for (const json& m : all.value("ahead", json::array()))
    table.row({text(m, "model"), text(m, "cause"), text(m, "pool"), number(m, "ttft_ms"),
               number(m, "wished_ttft_ms"), number(m, "calls_expected"), number(m, "calls_that_fit")});
  return shown(a, a.options.json ? all["ahead"] : all, table, "none that can be seen coming");
}

}  // namespace

int grade_main(int argc, char** argv) {
  Noun n("grade", "How well a gateway served: of each model, and why a call did not keep its SLA.",
         "\nExamples:\n  qanat grade list --since 24h\n  qanat grade misses\n  qanat grade ahead\n"
         "  qanat grade list --socket /run/qanat/gateway.sock --tenant shop    of all tenants, or of one");
  n.app.require_subcommand(1);
  const auto command = [&n](const char* name, const char* summary, Noun::Action run) {
    CLI::App* sub = n.command(name, summary, std::move(run));
    sub->add_option("--since", n.a.until, "so far back, in whole days for sums (7 days)")
        ->type_name("DURATION");
    sub->add_option("--socket", n.a.options.socket, "the gateway's socket: every tenant's")
        ->type_name("PATH");
    sub->add_option("--tenant", n.a.name, "with --socket: one tenant's")->type_name("NAME");
  };
  command("list", "calls, availability, first tokens, pace, misses by their cause",
          [&n] { return list(n.a); });
  command("misses", "the latest misses, each with its cause", [&n] { return misses(n.a); });
  command("ahead", "misses that can be seen coming", [&n] { return ahead(n.a); });
  return n.run(argc, argv);
}

}  // namespace qanat::cli
