// What operators want of a network, who may say so, and what would be if: apply, intent, history, audit, token, whatif.
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 1
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/sha.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <sstream>
#include <system_error>
#include <thread>

#include "base/config.hh"
#include "base/file.hh"
#include "base/hex.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/commands.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

std::string when(std::uint64_t unix_s) {
  return unix_s == 0 ? ""
                     : fmt::format("{:%Y-%m-%d %H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(unix_s)));
}

// JSON as it is; TOML as JSON.
std::string document_of(const std::string& file) {
  std::string text;
  try {
    text = base::read_file(file == "-" ? "/dev/stdin" : file, 256 * 1024);
  } catch (const std::system_error& e) {
    throw CommandError{kWrongUsage, e.what(), "a file of at most 256 KiB, TOML or JSON"};
  }
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') return text;
  const toml::parse_result parsed = toml::parse(text, file);
  if (!parsed) {
    const auto& at = parsed.error().source().begin;
    throw CommandError{kWrongUsage,
                       fmt::format("{}:{}:{}: {}", file, at.line, at.column, parsed.error().description()),
                       "`qanat intent show` prints a whole document"};
  }
  std::ostringstream out;
  out << toml::json_formatter(parsed.table());
  return out.str();
}

int print_applied(const Options& options, const json& answer, bool dry) {
  if (options.json) {
    fmt::print("{}\n", answer.dump(2));
    return 0;
  }
  for (const json& d : answer["differences"]) {
    const std::string kind = d.value("kind", "");
    const char* mark = kind == "added" ? "+" : kind == "removed" ? "-" : "~";
    fmt::print("{} {}\n", mark, d.value("what", ""));
    if (kind != "added") fmt::print("    was  {}\n", d.value("before", ""));
    if (kind != "removed") fmt::print("    {}  {}\n", dry ? "will be" : "is now", d.value("after", ""));
  }
  if (answer["differences"].empty()) {
    fmt::print("nothing to do: version {} says the same\n", answer.value("version", 0ULL));
  } else if (dry) {
    fmt::print("a dry run: version {} stays in force\n", answer.value("version", 0ULL));
  } else {
    fmt::print("version {} is in force\n", answer.value("version", 0ULL));
  }
  return 0;
}

std::vector<std::string> split(const std::string& text, char by) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, by);) parts.push_back(part);
  return parts;
}

double number_of(const std::string& text, const std::string& where) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 0))
    throw CommandError{kWrongUsage, fmt::format("{}: '{}' is no number", where, text),
                       "`qanat whatif --help`"};
  return value;
}

std::uint64_t plane_of(const std::string& text, const std::string& where) {
  return static_cast<std::uint64_t>(number_of(text, where));
}

// A,B[,more]: at least `least` parts, at most `most`.
std::vector<std::string> parts_of(const std::string& text, std::size_t least, std::size_t most,
                                  const char* form) {
  auto parts = split(text, ',');
  if (parts.size() < least || parts.size() > most)
    throw CommandError{kWrongUsage, fmt::format("'{}' is not {}", text, form), "`qanat whatif --help`"};
  return parts;
}

json question_of(const WhatIfRequest& r) {
  if (!r.file.empty()) return json::parse(document_of(r.file), nullptr, false);
  json q = json::object();
  if (!r.fail_nodes.empty()) q["fail_nodes"] = r.fail_nodes;
  if (!r.fail_risks.empty()) q["fail_risks"] = r.fail_risks;
  for (const auto& text : r.fail_links) {
    const auto p = parts_of(text, 2, 3, "A,B[,PLANE]");
    json link{{"a", p[0]}, {"b", p[1]}};
    if (p.size() > 2) link["plane"] = plane_of(p[2], "--fail-link");
    q["fail_links"].push_back(link);
  }
  for (const std::uint32_t plane : r.fail_planes) q["fail_planes"].push_back(plane);
  for (const auto& text : r.add_links) {
    const auto p = parts_of(text, 4, 5, "A,B,PLANE,RTT_MS[,LOSS_PERCENT]");
    json link{{"a", p[0]}, {"b", p[1]}, {"plane", plane_of(p[2], "--add-link")}};
    link["rtt_ms"] = number_of(p[3], "--add-link");
    if (p.size() > 4) link["loss_pct"] = number_of(p[4], "--add-link");
    q["add_links"].push_back(link);
  }
  for (const auto& text : r.prices) {
    const auto p = split(text, '=');
    if (p.size() != 2)
      throw CommandError{kWrongUsage, fmt::format("'{}' is not PLANE=MS", text), "`qanat whatif --help`"};
    q["planes"][p[0]] = {{"toll_ms", number_of(p[1], "--price")}};
  }
  for (const auto& text : r.moves) {
    const auto p = parts_of(text, 3, 5, "FROM,TO,INSTEAD[,MBPS[,TIER]]");
    json demand{{"from", p[0]}, {"to", p[1]}, {"moved_to", p[2]}};
    if (p.size() > 3) demand["mbps"] = number_of(p[3], "--move");
    if (p.size() > 4) demand["tier"] = p[4];
    q["demands"].push_back(demand);
  }
  for (const auto& text : r.capacities) {
    const auto p = parts_of(text, 4, 4, "A,B,PLANE,MBPS");
    q["capacities"].push_back({{"a", p[0]},
                               {"b", p[1]},
                               {"plane", plane_of(p[2], "--capacity")},
                               {"mbps", number_of(p[3], "--capacity")}});
  }
  return q;
}

std::string way_text(const std::string& from, const json& way) {
  if (!way.is_object()) return "none";
  std::string text = from;
  for (std::size_t i = 0; i < way["names"].size(); ++i)
    text += fmt::format(" -{}- {}", way["planes"][i].get<int>(), way["names"][i].get<std::string>());
  return text + " (" + milliseconds(way.value("rtt_us", 0.0)) + ")";
}

std::string term_text(const json& change, const char* key) {
  if (change[key].is_null()) return "no path";
  const std::string term = change.value("term", "");
  if (term == "path") return "there";
  return term == "loss" ? percent(change[key].get<double>()) : milliseconds(change[key].get<double>());
}

void print_slas(const char* title, const json& changes) {
  if (changes.empty()) return;
  Table table{{"TENANT", "TIER", "FROM", "TO", "TERM", ">LIMIT", ">NOW", ">THEN"}};
  for (const json& c : changes) {
    json limit{{"term", c["term"]}, {"limit", c["limit"]}};
    table.row({c.value("tenant", ""), c.value("tier", ""), c.value("from", ""), c.value("to", ""),
               c.value("term", ""), c.value("term", "") == "path" ? "" : term_text(limit, "limit"),
               term_text(c, "before"), term_text(c, "after")});
  }
  fmt::print("\n{}\n{}", title, table.text(terminal_width()));
}

// 1: it was taken back.
int print_canary(const Options& options, const json& canary) {
  const std::string state = canary.value("state", "none");
  const int status = state == "taken_back" ? 1 : 0;
  if (options.json) {
    fmt::print("{}\n", canary.dump(2));
    return status;
  }
  const auto version = canary.value("version", 0ULL);
  if (state == "none") {
    fmt::print("no canary\n");
  } else if (state == "running") {
    fmt::print("version {} is with {} until {}; {} boxes keep what they have\n", version,
               fmt::join(canary["canaries"].get<std::vector<std::string>>(), ", "),
               when(canary.value("until_unix_s", 0ULL)), canary.value("held_back", 0ULL));
  } else if (state == "passed") {
    fmt::print("version {} passed and is with all boxes\n", version);
  } else {
    fmt::print("version {} was taken back; version {} says what was before\n", version,
               canary.value("in_force", 0ULL));
    for (const json& fault : canary["faults"]) fmt::print("  {}\n", fault.get<std::string>());
  }
  return status;
}

int apply_to_canaries(const Options& options, const Place& place, const ApplyRequest& request) {
  if (request.dry_run || request.rollback != 0 || request.file.empty())
    throw CommandError{kWrongUsage, "--canary goes with a file, and with neither --dry-run nor --rollback",
                       "qanat apply FILE --canary 5%"};
  const auto watch = base::parse_duration(request.watch);
  if (!watch) throw CommandError{kWrongUsage, "--watch: '" + request.watch + "' is no duration", "60s, 2m"};
  std::string who;
  for (const char c : request.canary) who += c == '%' ? "%25" : std::string(1, c);
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(*watch).count();
  const json applied = ask(place, "POST", fmt::format("/v1/apply?canary={}&watch_s={}", who, seconds),
                           document_of(request.file));
  if (!applied.value("changed", false)) return print_applied(options, applied, false);
  json canary = ask(place, "GET", "/v1/canary");
  if (!options.json && canary.value("state", "") == "running") print_canary(options, canary);
  while (canary.value("state", "") == "running") {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    canary = ask(place, "GET", "/v1/canary");
  }
  return print_canary(options, canary);
}

}  // namespace

int show_canary(const Options& options) {
  print_canary(options, ask(find_controller(options), "GET", "/v1/canary"));
  return 0;
}

int end_canary(const Options& options, CanaryEnd end) {
  const char* verb = end == CanaryEnd::Promote ? "promote" : "rollback";
  print_canary(options, ask(find_controller(options), "POST", fmt::format("/v1/canary/{}", verb)));
  return 0;
}

int apply(const Options& options, const ApplyRequest& request) {
  const Place place = find_controller(options);
  if (!request.canary.empty()) return apply_to_canaries(options, place, request);
  const std::string dry = request.dry_run ? "?dry_run=true" : "";
  if (request.rollback != 0)
    return print_applied(options,
                         ask(place, "POST", fmt::format("/v1/versions/{}/restore{}", request.rollback, dry)),
                         request.dry_run);
  if (request.file.empty())
    throw CommandError{kWrongUsage, "nothing to apply",
                       "qanat apply FILE, or qanat apply --rollback VERSION"};
  return print_applied(options, ask(place, "POST", "/v1/apply" + dry, document_of(request.file)),
                       request.dry_run);
}

int show_intent(const Options& options, std::uint64_t version) {
  const Place place = find_controller(options);
  const json document = version == 0 ? ask(place, "GET", "/v1/intent")
                                     : ask(place, "GET", fmt::format("/v1/versions/{}", version))["intent"];
  fmt::print("{}\n", document.dump(2));
  return 0;
}

int show_history(const Options& options) {
  const json versions = ask(find_controller(options), "GET", "/v1/versions");
  if (options.json) {
    fmt::print("{}\n", versions.dump(2));
    return 0;
  }
  Table table{{">VERSION", "WHEN", "WHO", "FROM", "WHAT"}};
  for (const json& v : versions)
    table.row({std::to_string(v.value("version", 0ULL)), when(v.value("unix_s", 0ULL)), v.value("who", ""),
               v.value("from", ""), v.value("action", "")});
  fmt::print("{}", table.text(terminal_width()));
  return 0;
}

int list_audit(const Options& options, std::uint64_t after) {
  const json page = ask(find_controller(options), "GET", fmt::format("/v1/audit?limit=1000&after={}", after));
  if (options.json) {
    fmt::print("{}\n", page.dump(2));
    return 0;
  }
  Table table{{">LINE", "WHEN", "WHO", "ROLE", "FROM", "WHAT", ">STATUS", "RESULT"}};
  for (const json& line : page["lines"]) {
    const json entry = json::parse(line.value("text", ""), nullptr, false);
    if (!entry.is_object()) continue;
    table.row({std::to_string(line.value("sequence", 0ULL)), when(entry.value("unix_s", 0ULL)),
               entry.value("who", ""), entry.value("role", ""), entry.value("from", ""),
               entry.value("action", ""), std::to_string(entry.value("status", 0)),
               entry.value("result", "")});
  }
  fmt::print("{}", table.text(terminal_width()));
  return 0;
}

// Follows the chain from its first line by what was sent, not by what the controller says of it.
int verify_audit(const Options& options, const std::string& expected) {
  const Place place = find_controller(options);
  std::string previous(64, '0');
  std::uint64_t lines = 0;
  bool seen = expected.empty();
  for (;;) {
    const json page = ask(place, "GET", fmt::format("/v1/audit?limit=1000&after={}", lines));
    for (const json& line : page["lines"]) {
      const std::string text = line.value("text", "");
      const json entry = json::parse(text, nullptr, false);
      if (!entry.is_object() || entry.value("previous", "") != previous ||
          entry.value("sequence", 0ULL) != lines + 1)
        throw CommandError{kFailed, fmt::format("the audit log is broken at line {}", lines + 1),
                           "it, or a line before it, was changed, taken out or put in"};
      std::array<std::uint8_t, SHA256_DIGEST_LENGTH> hash{};
      SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
      previous = base::to_hex(hash);
      seen |= previous == expected;
      ++lines;
    }
    if (page["lines"].size() >= 1000) continue;
    if (previous != page.value("head", "") || lines != page.value("count", 0ULL))
      throw CommandError{kFailed, "the audit log's end is missing", "its last lines were taken out"};
    break;
  }
  if (!seen)
    throw CommandError{kFailed, "no line of the audit log has the hash " + expected,
                       "the chain was written anew since"};
  if (options.json) {
    fmt::print("{}\n", json{{"lines", lines}, {"head", previous}}.dump(2));
  } else {
    fmt::print("{} lines, unbroken; head {}\n", lines, previous);
  }
  return 0;
}

int create_token(const Options& options, const TokenCreate& request) {
  json body{{"name", request.name}, {"role", request.role}};
  if (!request.tenant.empty()) body["tenant"] = request.tenant;
  if (request.ttl_s != 0) body["ttl_s"] = request.ttl_s;
  const json made = ask(find_controller(options), "POST", "/v1/tokens", body.dump());
  if (options.json) {
    fmt::print("{}\n", made.dump(2));
  } else {
    fmt::print("{}\n", made.value("token", ""));
    fmt::print(stderr, "token {} of {}, shown once\n", made.value("id", ""), request.name);
  }
  return 0;
}

int list_tokens(const Options& options) {
  const json tokens = ask(find_controller(options), "GET", "/v1/tokens");
  if (options.json) {
    fmt::print("{}\n", tokens.dump(2));
    return 0;
  }
  Table table{{"ID", "NAME", "ROLE", "TENANT", "MADE BY", "MADE", "EXPIRES"}};
  for (const json& t : tokens)
    table.row({t.value("id", ""), t.value("name", ""), t.value("role", ""), t.value("tenant", ""),
               t.value("created_by", ""), when(t.value("created_unix_s", 0ULL)),
               when(t.value("expires_unix_s", 0ULL))});
  fmt::print("{}", table.text(terminal_width()));
  return 0;
}

int revoke_token(const Options& options, const std::string& id) {
  ask(find_controller(options), "DELETE", "/v1/tokens/" + id);
  if (!options.json) fmt::print("token {} is no more\n", id);
  return 0;
}

int what_if(const Options& options, const WhatIfRequest& request) {
  const json question = question_of(request);
  const json answer = ask(find_controller(options), "POST", "/v1/what-if", question.dump());
  if (options.json) {
    fmt::print("{}\n", answer.dump(2));
    return 0;
  }
  fmt::print("{} of {} pairs would move\n", answer["moved"].size(), answer.value("pairs", 0ULL));
  Table moved{{"FROM", "TO", "NOW", "THEN"}};
  for (const json& m : answer["moved"])
    moved.row({m.value("from", ""), m.value("to", ""), way_text(m.value("from", ""), m["before"]),
               way_text(m.value("from", ""), m["after"])});
  if (!moved.empty()) fmt::print("{}", moved.text(terminal_width()));
  if (!answer["demands"].empty()) {
    Table demands{{"FROM", "TO", "INSTEAD", ">ASKED", ">NOW", ">THEN", "BY"}};
    for (const json& d : answer["demands"])
      demands.row({d.value("from", ""), d.value("to", ""), d.value("moved_to", ""),
                   fmt::format("{:.1f} Mbit/s", d.value("asked_mbps", 0.0)),
                   fmt::format("{:.1f}", d.value("before_mbps", 0.0)),
                   fmt::format("{:.1f}", d.value("after_mbps", 0.0)),
                   way_text(d.value("from", ""), d["way_after"])});
    fmt::print("\n{}", demands.text(terminal_width()));
  }
  print_slas("These promises would break:", answer["slas_broken"]);
  print_slas("These would hold again:", answer["slas_mended"]);
  print_slas("These are broken as it is:", answer["slas_broken_already"]);
  if (answer["slas_broken"].empty()) fmt::print("\nno promise would break\n");
  return 0;
}

}  // namespace qanat::cli
