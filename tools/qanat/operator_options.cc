// The options of what operators ask of a controller: keys, what is wanted, who may say so, what would be if.
#include <cstdlib>

#include "tools/qanat/command_line.hh"

namespace qanat::cli {
namespace {

void add_token_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  CLI::App* tokens = noun(app, "token", "who may ask the controller for what");
  CLI::App* create = command(*tokens, o, action, "create", "a token with a role; its text is shown once",
                             "qanat token create grafana --role viewer --ttl 2592000\n"
                             "  qanat token create alice --role operator --tenant lab",
                             [&a] { return create_token(a.options, a.token); });
  create->add_option("name", a.token.name, "whose it is")->required();
  create->add_option("--role", a.token.role, "what it may: look; change tenants and ways; everything")
      ->check(CLI::IsMember({"viewer", "operator", "admin"}));
  create->add_option("--tenant", a.token.tenant, "only for this tenant")->type_name("TENANT");
  create->add_option("--ttl", a.token.ttl_s, "good for so long (for ever)")->type_name("SECONDS");
  with_controller(create, o);
  with_controller(command(*tokens, o, action, "list", "every token, without its secret", "qanat token list",
                          [&o] { return list_tokens(o); }),
                  o);
  CLI::App* revoke =
      command(*tokens, o, action, "revoke", "a token opens nothing from now on",
              "qanat token revoke 5f2c0a1b9d3e", [&a] { return revoke_token(a.options, a.first); });
  revoke->add_option("id", a.first, "its id")->required();
  with_controller(revoke, o);
}

void add_what_if(CLI::App& app, Arguments& a, Action& action) {
  WhatIfRequest& q = a.what_if;
  CLI::App* ask = command(app, a.options, action, "whatif",
                          "who would go where, and whose promises would break; changes nothing",
                          "qanat whatif --fail-node relay1\n"
                          "  qanat whatif --fail-plane 1 --add-link city,far1,2,18\n"
                          "  qanat whatif --move city,far1,far2,40 --capacity city,far2,1,100",
                          [&a] { return what_if(a.options, a.what_if); });
  ask->add_option("--fail-node", q.fail_nodes, "a box is gone")->type_name("NODE");
  ask->add_option("--fail-risk", q.fail_risks, "all boxes and lines that share a risk are gone")
      ->type_name("RISK");
  ask->add_option("--fail-link", q.fail_links, "nothing passes between two boxes")->type_name("A,B[,PLANE]");
  ask->add_option("--fail-plane", q.fail_planes, "an operator's network is gone")->type_name("PLANE");
  ask->add_option("--add-link", q.add_links, "a line more, or a better one")
      ->type_name("A,B,PLANE,RTT_MS[,LOSS]");
  ask->add_option("--price", q.prices, "a plane ranks as so much slower")->type_name("PLANE=MS");
  ask->add_option("--move", q.moves, "a demand goes to another box")
      ->type_name("FROM,TO,INSTEAD[,MBPS[,TIER]]");
  ask->add_option("--capacity", q.capacities, "what a link carries, for demands with a rate")
      ->type_name("A,B,PLANE,MBPS");
  ask->add_option("--file", q.file, "the whole question, TOML or JSON (POST /v1/what-if)")->type_name("FILE");
  with_controller(ask, a.options);
}

}  // namespace

void add_key_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  CLI::App* ca = noun(app, "ca", "the controller's certification authority");
  with_socket(command(*ca, o, action, "status", "the CA that signs; whom a rotation waits for",
                      "qanat ca status", [&o] { return show_ca(o); }),
              o);
  CLI::App* fresh = command(*ca, o, action, "rotate", "a new CA takes the old one's place, without a stop",
                            "qanat ca rotate --wait", [&a] { return rotate_ca(a.options, a.wait); });
  fresh->add_flag("--wait", a.wait, "return when the old CA is retired");
  with_socket(fresh, o);
  with_socket(command(*ca, o, action, "advance",
                      "the rotation's next step without those that are away: they have to join again",
                      "qanat ca advance", [&o] { return advance_ca(o); }),
              o);
  CLI::App* network = noun(app, "network-key", "the key that all boxes of a network share");
  with_socket(command(*network, o, action, "status", "whom a rotation waits for", "qanat network-key status",
                      [&o] { return show_network_key(o); }),
              o);
  CLI::App* next =
      command(*network, o, action, "rotate", "a new network key, without a stop",
              "qanat network-key rotate --wait", [&a] { return rotate_network_key(a.options, a.wait); });
  next->add_flag("--wait", a.wait, "return when every box has it");
  with_socket(next, o);
}

void add_intent_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  if (const char* token = std::getenv("QANAT_TOKEN")) o.token = token;
  CLI::App* make =
      command(app, o, action, "apply", "what is wanted of the network, from a file; as a version",
              "qanat apply network.toml --dry-run\n  qanat apply network.toml --canary 5% --watch 2m\n"
              "  qanat apply --rollback 3",
              [&a] { return apply(a.options, a.apply); });
  make->add_option("file", a.apply.file, "TOML or JSON, as `qanat intent show` prints; - is standard input");
  make->add_option("--rollback", a.apply.rollback, "back to this version, instead of a file")
      ->type_name("VERSION");
  make->add_flag("--dry-run", a.apply.dry_run, "only tell what would change");
  make->add_option(
          "--canary", a.apply.canary,
          "who gets it first: a share of the boxes that it concerns, a number of them, or names; it goes "
          "to all, or is taken back, by how they fare")
      ->type_name("5%|3|A,B");
  make->add_option("--watch", a.apply.watch, "how long they are watched")->type_name("TIME");
  with_controller(make, o);
  CLI::App* canary = noun(app, "canary", "a change that some boxes got first");
  with_controller(command(*canary, o, action, "status", "who has it, until when, what came of it",
                          "qanat canary status", [&o] { return show_canary(o); }),
                  o);
  with_controller(command(*canary, o, action, "promote", "it goes to all now", "qanat canary promote",
                          [&o] { return end_canary(o, CanaryEnd::Promote); }),
                  o);
  with_controller(command(*canary, o, action, "rollback", "it is taken back now", "qanat canary rollback",
                          [&o] { return end_canary(o, CanaryEnd::Rollback); }),
                  o);
  with_controller(command(*noun(app, "traffic", "how much goes over what"), o, action, "status",
                          "the newest plan: what is asked for and carried, by plane and tenant",
                          "qanat traffic status", [&o] { return show_traffic(o); }),
                  o);
  CLI::App* show = command(*noun(app, "intent", "what is wanted of the network"), o, action, "show",
                           "the whole document, as apply takes it", "qanat intent show > network.json",
                           [&a] { return show_intent(a.options, a.number); });
  show->add_option("--version", a.number, "an earlier one")->type_name("VERSION");
  with_controller(show, o);
  with_controller(command(app, o, action, "history", "versions of what was wanted, and whose they are",
                          "qanat history", [&o] { return show_history(o); }),
                  o);
  CLI::App* audit = noun(app, "audit", "who changed what; and what calls cost, provably");
  CLI::App* list = command(*audit, o, action, "list", "every change, who, from where, and what came of it",
                           "qanat audit list", [&a] { return list_audit(a.options, a.number); });
  list->add_option("--after", a.number, "later than this line")->type_name("LINE");
  with_controller(list, o);
  CLI::App* verify = command(
      *audit, o, action, "verify",
      "what a gateway said of its calls, offline; without a file, the controller's chain of hashes. "
      "Exit status 1 where it is broken",
      "qanat audit verify calls.jsonl --signed-by n3Yq… --witness 8Zk2…\n"
      "  qanat audit verify --head 5f2c…",
      [&a] {
        return a.audit.file.empty() ? verify_audit(a.options, a.first) : verify_calls(a.options, a.audit);
      });
  verify->add_option("file", a.audit.file, "an export or a proof; - is standard input")->type_name("FILE");
  verify->add_option("--signed-by", a.audit.key, "the gateway's public key, as you know it")
      ->type_name("KEY");
  verify->add_option("--witness", a.audit.witnesses, "who must have cosigned the last checkpoint")
      ->type_name("KEY");
  verify->add_option("--head", a.first, "a hash noted earlier: still in the chain?")->type_name("HASH");
  with_controller(verify, o);
  const auto at_gateway = [&](CLI::App* sub) {
    with_gateway(sub, o);
    sub->add_option("--socket", o.socket, "a gateway's Unix socket, for who runs it")->type_name("PATH");
  };
  CLI::App* proof =
      command(*audit, o, action, "proof", "that a call is in the gateway's audit tree, as a document",
              "qanat audit proof call-0123456789abcdef > proof.json",
              [&a] { return print_proof(a.options, a.audit); });
  proof->add_option("call", a.audit.call, "its id")->required();
  at_gateway(proof);
  CLI::App* checkpoint =
      command(*audit, o, action, "checkpoint", "the latest one, signed, as a document",
              "qanat audit checkpoint --now", [&a] { return print_checkpoint(a.options, a.audit); });
  checkpoint->add_flag("--now", a.audit.now, "of the tree as it is now; for who runs the gateway");
  at_gateway(checkpoint);
  CLI::App* consistency =
      command(*audit, o, action, "consistency", "that one checkpoint is another's beginning, as a document",
              "qanat audit consistency 1200 3400", [&a] { return print_consistency(a.options, a.audit); });
  consistency->add_option("from", a.audit.from, "leaves of the earlier one")->required();
  consistency->add_option("to", a.audit.to, "of the later one (the latest)");
  at_gateway(consistency);
  CLI::App* everything =
      command(*audit, o, action, "export", "every checkpoint and leaf, held against the books",
              "qanat audit export > calls.jsonl", [&a] { return export_calls(a.options); });
  with_socket(everything, o);
  CLI::App* cosign =
      command(*audit, o, action, "cosign",
              "sign the latest checkpoint as its witness, if all that were signed before are its beginning",
              "qanat audit cosign --identity witness.pem", [&a] { return cosign_calls(a.options, a.audit); });
  cosign->add_option("--identity", a.audit.identity, "the witness's key; made if it is not there")
      ->required()
      ->type_name("FILE");
  at_gateway(cosign);
  add_token_commands(app, a, action);
  add_what_if(app, a, action);
}

}  // namespace qanat::cli
