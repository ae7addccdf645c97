#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/data_command.hh"
#include "tools/qanat/noun.hh"

namespace qanat::cli {
using nlohmann::json;
namespace {

int make_contract(const NounArguments& a) {
  json body{{"artefact", a.first},    {"users", a.users}, {"sites", a.sites},
            {"purposes", a.purposes}, {"uses", a.uses},   {"class", a.data_class}};
  if (!a.until.empty()) body["expires_unix_ms"] = time_of("--until", a.until);
  const json c = call(a, "POST", "/qanat/v1/contracts", body);
  return done(
      a, c, fmt::format("{} on {}, signed by {}", text(c, "id"), text(c, "artefact"), text(c, "public_key")));
}

int list_contracts(const NounArguments& a) {
  const json list = call(a, "GET", "/qanat/v1/contracts");
  Table table{{"ID", "OWNER", "USERS", "SITES", "FOR", ">USES", "UNTIL", "REVOKED"}};
  for (const json& c : list)
    table.row({text(c, "id"), text(c, "owner"), text(c, "users"), text(c, "sites"), text(c, "purposes"),
               text(c, "uses"),
               c.value("expires_unix_ms", std::int64_t{0}) == 0 ? "-" : clock_text(c["expires_unix_ms"]),
               text(c, "revoked")});
  return shown(a, list, table,
               "no contracts yet: qanat contract make ARTEFACT --user TENANT --site SITE --for finetune");
}

int revoke_contract(const NounArguments& a) {
  const json c = call(a, "POST", "/qanat/v1/contracts/" + a.first + "/revoke", json::object());
  return done(a, c, fmt::format("{} is revoked; pools that know: {}", a.first, text(c, "pools_told")));
}

int report(const NounArguments& a, const std::string& what) {
  const json r = call(a, "GET", "/qanat/v1/" + what + "/" + base::percent_encode(a.first) + "/report");
  if (a.options.json) return done(a, r, "");
  Table table{{">LEAF", "WHEN", "USER", "SITE", "PURPOSE", "ALLOWED", "CLAUSE", "USE"}};
  for (const json& use : r.value("uses", json::array()))
    table.row({text(use, "number"), clock_text(use["unix_ms"]), text(use, "user"), text(use, "site"),
               text(use, "purpose"), text(use, "allowed"), text(use, "clause"), text(use, "use")});
  fmt::print("{}{} allowed, {} refused; {} the audit tree of {} leaves, root {}\n",
             table.text(terminal_width()), text(r, "allowed"), text(r, "refused"),
             r.value("equals_audit_tree", false) ? "equals" : "DIFFERS FROM", text(r, "tree_size"),
             text(r, "tree_root"));
  return r.value("equals_audit_tree", false) ? 0 : kFailed;
}

int forget(const NounArguments& a) {
  const json r = call(a, "DELETE", "/qanat/v1/artefacts/" + base::percent_encode(a.first) + "/copies");
  Table table{{"SITE", "SAYS"}};
  for (const json& site : r.value("sites", json::array()))
    table.row({text(site, "site"), site.contains("attestation") ? "deleted (its signed word, not a proof)"
                                                                : text(site, "error")});
  return shown(a, r, table, "no pools are known");
}

int statement(const NounArguments& a) {
  Place place{"the gateway here", "unix:/run/qanat/gateway.sock", {}, {}};
  if (!a.options.socket.empty()) {
    place = {"the gateway at " + a.options.socket, "unix:" + a.options.socket, {}, {}};
  } else if (const auto state = find_lab(a.options); state && !state->gateways.empty()) {
    place = {
        "the gateway at " + state->gateways.front().node, "unix:" + state->gateways.front().socket, {}, {}};
  }
  const json s = ask(place, "GET", "/v1/statements/" + base::percent_encode(a.first));
  if (a.options.json) return done(a, s, "");
  Table table{{"CALL", ">IN", ">OUT", ">CNY", ">BILLED", ">UNDELIVERED", "RECORD"}};
  for (const json& l : s.value("lines", json::array()))
    table.row({text(l, "call"), text(l, "tokens_in"), text(l, "tokens_out"), money(l, "amount_nano"),
               money(l, "billed_nano"), money(l, "undelivered_nano"),
               !l.value("recorded", false)  ? "waiting"
               : l.value("disputed", false) ? "disputed"
                                            : "signed"});
  for (const json& l : s.value("services", json::array()))
    table.row({text(l, "id"), "", text(l, "quantity"), money(l, "amount_nano"), money(l, "amount_nano"), "",
               text(l, "kind")});
  fmt::print("{}revenue {} CNY; {} what tenants were billed, line by line\n", table.text(terminal_width()),
             money(s, "revenue_nano"), s.value("agrees", false) ? "agrees with" : "DIFFERS FROM");
  return s.value("agrees", false) ? 0 : kFailed;
}

}  // namespace

int contract_main(int argc, char** argv) {
  Noun n("contract",
         "On which terms others may use an artefact; enforced by gateway and pools, each use on record.",
         "\nExample:\n  qanat contract make wards-2025 --user clinic --site far1 --for finetune --uses 3 "
         "--until +7d");
  n.app.require_subcommand(1);
  CLI::App* sub = n.command("make", "sign one", [&n] { return make_contract(n.a); });
  sub->add_option("artefact", n.a.first, "a file of yours, by name, id or digest")->required();
  sub->add_option("--user", n.a.users, "a tenant who may use it")->type_name("TENANT");
  sub->add_option("--site", n.a.sites, "where")->type_name("POOL|SITE");
  sub->add_option("--for", n.a.purposes, "transfer, finetune")
      ->check(CLI::IsMember({"transfer", "finetune"}));
  sub->add_option("--uses", n.a.uses, "how often (0: no limit)")->type_name("N");
  sub->add_option("--until", n.a.until, "until when (no end)")->type_name("HH:MM|+DURATION");
  sub->add_option("--class", n.a.data_class, "open, internal or confidential")
      ->check(CLI::IsMember({"open", "internal", "confidential"}));
  n.command("list", "those that you gave, and were given", [&n] { return list_contracts(n.a); });
  n.command("revoke", "from now on, in the middle of a use too", [&n] { return revoke_contract(n.a); })
      ->add_option("contract", n.a.first, "its id")
      ->required();
  n.command("report", "every use, allowed and refused, held against the audit tree",
            [&n] { return report(n.a, "contracts"); })
      ->add_option("contract", n.a.first, "its id")
      ->required();
  return n.run(argc, argv);
}

int artefact_main(int argc, char** argv) {
  Noun n("artefact", "An artefact over all its contracts and copies.",
         "\nExample:\n  qanat artefact report wards-2025");
  n.app.require_subcommand(1);
  n.command("report", "every use of it, held against the audit tree",
            [&n] { return report(n.a, "artefacts"); })
      ->add_option("artefact", n.a.first, "a file of yours, by name, id or digest")
      ->required();
  n.command("forget", "every pool deletes its copy, and signs that it did", [&n] { return forget(n.a); })
      ->add_option("artefact", n.a.first, "a file of yours, by name, id or digest")
      ->required();
  return n.run(argc, argv);
}

int statement_main(int argc, char** argv) {
  Noun n("statement", "What a pool earned at a gateway, held line by line against what tenants were billed.",
         "\nExample:\n  qanat statement far1-h20");
  n.app.add_option("pool", n.a.first, "the pool's id")->required();
  n.app.add_option("--socket", n.a.options.socket, "a gateway's Unix socket, instead of the lab's")
      ->type_name("PATH");
  n.app.add_flag("--json", n.a.options.json, "print JSON rather than text");
  n.app.add_option("--lab", n.a.options.lab, "the lab to ask, where several run")->type_name("NAME");
  n.action = [&n] { return statement(n.a); };
  return n.run(argc, argv);
}

}  // namespace qanat::cli
