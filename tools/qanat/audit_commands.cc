// What a gateway's calls cost, provably: audit proof, checkpoint, consistency, export, verify, cosign.
#include "tools/qanat/audit_commands.hh"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/http_message.hh"
#include "gateway/meter/audit_check.hh"
#include "gateway/meter/signing_key.hh"
#include "tools/qanat/ask.hh"

namespace qanat::cli {
using nlohmann::json;
using nlohmann::ordered_json;
namespace {

constexpr const char* kSocket = "/run/qanat/gateway.sock";

// Who runs a gateway asks its socket, others its API with a key.
struct Way {
  Place place;
  std::string prefix;
};

Way own_socket(const Options& o) {
  if (!o.socket.empty()) return {{"the gateway at " + o.socket, "unix:" + o.socket, {}, {}}, "/v1/audit"};
  if (const auto state = find_lab(o); state && !state->gateways.empty())
    return {
        {"the gateway at " + state->gateways.front().node, "unix:" + state->gateways.front().socket, {}, {}},
        "/v1/audit"};
  return {{"the gateway here", std::string("unix:") + kSocket, {}, {}}, "/v1/audit"};
}

Way way(const Options& o) {
  if (!o.gateway.empty() && o.socket.empty()) return {find_gateway(o), "/qanat/v1/audit"};
  return own_socket(o);
}

// Documents are kept by who gets them: one line, as the gateway ordered it.
int print(const json& document) {
  fmt::print("{}\n", document.dump());
  return 0;
}

json of(const Way& at, const std::string& method, const std::string& what, const std::string& body = {}) {
  return ask(at.place, method, at.prefix + what, body);
}

// What a witness signed before, in a file beside its key: for each gateway's tree, its key and the checkpoint.
json remembered(const std::string& file) {
  if (::access(file.c_str(), F_OK) != 0) return json::object();
  const json seen = json::parse(base::read_file(file), nullptr, false);
  if (!seen.is_object())
    throw CommandError{kFailed, file + " is not a witness's memory", "it says what was signed before"};
  return seen;
}

// Throws where the documents do not hold: nothing is to be signed then.
void hold(const json& document, const std::string& key) {
  meter::AuditCheck check({key, {}});
  check.take(document.dump());
  if (const auto verdict = check.finish(); !verdict.problems.empty())
    throw CommandError{kFailed, "not cosigned: " + verdict.problems.front(), "keep what the gateway said"};
}

}  // namespace

int print_proof(const Options& options, const AuditRequest& request) {
  return print(of(way(options), "GET", "/calls/" + base::percent_encode(request.call)));
}

int print_checkpoint(const Options& options, const AuditRequest& request) {
  return print(of(way(options), request.now ? "POST" : "GET", "/checkpoint"));
}

int print_consistency(const Options& options, const AuditRequest& request) {
  return print(of(way(options), "GET", fmt::format("/consistency?from={}&to={}", request.from, request.to)));
}

int export_calls(const Options& options) {
  const Way at = own_socket(options);
  const std::uint64_t size = of(at, "POST", "/checkpoint").value("size", std::uint64_t{0});
  for (std::uint64_t after = 0; after < size;) {
    const json page = of(at, "GET", fmt::format("/checkpoints?after={}", after));
    if (page.at("checkpoints").empty()) break;
    for (const json& one : page.at("checkpoints")) {
      if (one.at("size") > size) break;
      print(one);
    }
    after = page.at("checkpoints").back().at("size");
  }
  for (std::uint64_t from = 0; from < size;) {
    const json page = of(at, "GET", fmt::format("/leaves?from={}", from));
    if (page.at("leaves").empty()) break;
    for (const json& one : page.at("leaves"))
      if (one.at("number") < size) print(one);
    from = page.at("leaves").back().at("number").get<std::uint64_t>() + 1;
  }
  return 0;
}

int verify_calls(const Options& options, const AuditRequest& request) {
  std::ifstream file;
  if (request.file != "-") {
    file.open(request.file);
    if (!file)
      throw CommandError{kNotFound, "there is no file " + request.file, "`qanat audit export` makes one"};
  }
  std::istream& in = request.file == "-" ? std::cin : file;
  meter::AuditCheck check({request.key, request.witnesses});
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) check.take(line);
  const auto v = check.finish();
  if (options.json) {
    const ordered_json said{
        {"holds", v.problems.empty()}, {"problems", v.problems},     {"problems_found", v.found},
        {"gateway", v.gateway},        {"public_key", v.public_key}, {"checkpoints", v.checkpoints},
        {"leaves", v.leaves},          {"proofs", v.proofs},         {"size", v.size},
        {"witnesses", v.witnesses}};
    fmt::print("{}\n", said.dump(2));
    return v.problems.empty() ? 0 : kFailed;
  }
  for (const std::string& problem : v.problems) fmt::print("{}\n", problem);
  if (v.found > v.problems.size()) fmt::print("… and {} more\n", v.found - v.problems.size());
  if (v.problems.empty()) {
    fmt::print("{}: all of it holds: {} checkpoints, {} leaves, {} proofs; {} leaves were signed\n",
               v.gateway, v.checkpoints, v.leaves, v.proofs, v.size);
    fmt::print("signed by {}{}\n", v.public_key,
               request.key.empty() ? " (is it the gateway's? --signed-by KEY holds it to one)" : "");
    fmt::print("the last checkpoint has {}\n",
               v.witnesses.empty() ? std::string("no cosignature")
                                   : fmt::format("cosignatures of {}", fmt::join(v.witnesses, ", ")));
  }
  return v.problems.empty() ? 0 : kFailed;
}

int cosign_calls(const Options& options, const AuditRequest& request) {
  const auto identity = meter::SigningKey::load_or_create(request.identity);
  const std::string memory = request.identity + ".seen";
  json seen = remembered(memory);
  const Way at = way(options);
  const json document = of(at, "GET", "/checkpoint");
  const auto said = meter::parse_checkpoint(document.value("text", ""));
  if (!said) throw CommandError{kFailed, at.place.what + " has a checkpoint that cannot be read", ""};
  const json before = seen.value(said->gateway, json::object());
  const std::string key = before.value("public_key", document.value("public_key", ""));
  hold(document, key);
  if (const auto signed_before = meter::parse_checkpoint(before.value("text", ""))) {
    const json grown =
        of(at, "GET", fmt::format("/consistency?from={}&to={}", signed_before->size, said->size));
    hold(grown, key);
    if (grown.at("from").value("text", "") != before.value("text", "") ||
        grown.at("to").value("text", "") != document.value("text", ""))
      throw CommandError{kFailed, "not cosigned: the gateway shows other checkpoints than it had signed",
                         "what was cosigned before is in " + memory};
  }
  const auto now = static_cast<std::int64_t>(base::unix_now());
  const json cosignature{{"size", said->size},
                         {"unix_s", now},
                         {"public_key", identity.public_key()},
                         {"signature", identity.sign(meter::cosigned_text(document.value("text", ""), now))}};
  // First kept, then given away: never two trees from one witness.
  seen[said->gateway] = {{"public_key", key}, {"text", document.value("text", "")}};
  base::write_file(memory, seen.dump(2) + "\n", 0600);
  const json answer = of(at, "POST", "/cosignatures", cosignature.dump());
  if (options.json) return print(answer);
  fmt::print("{}: cosigned {} leaves as {}\n", said->gateway, said->size, answer.value("name", ""));
  return 0;
}

}  // namespace qanat::cli
