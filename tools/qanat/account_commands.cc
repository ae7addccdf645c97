// People: accounts at a controller, signing in and out, and the contexts that keep what came of it.
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <iostream>
#include <nlohmann/json.hpp>

#include "base/file.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/command_line.hh"
#include "tools/qanat/contexts.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
namespace {

using nlohmann::json;

// A line from the terminal, or from whatever stands in for it; unseen where it is a secret.
std::string asked(const std::string& prompt, bool secret) {
  const bool terminal = ::isatty(STDIN_FILENO) == 1;
  termios before{}, hidden{};
  if (terminal) fmt::print(stderr, "{}: ", prompt);
  if (terminal && secret) {
    ::tcgetattr(STDIN_FILENO, &before);
    hidden = before;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  std::string line;
  std::getline(std::cin, line);
  if (terminal && secret) {
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fmt::print(stderr, "\n");
  }
  return line;
}

std::string first_line(const std::string& file) {
  const std::string text = base::read_file(file, 4096);
  return text.substr(0, text.find_first_of("\r\n"));
}

std::string clock_or(const json& object, const char* key, const char* none) {
  const auto seconds = static_cast<std::time_t>(object.value(key, std::uint64_t{0}));
  if (seconds == 0) return none;
  char out[32];
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  std::strftime(out, sizeof out, "%F %R", &parts);
  return out;
}

int said(const Options& options, const json& answer, const std::string& text) {
  fmt::print("{}\n", options.json ? answer.dump(2) : text);
  return 0;
}

int invited(const Options& options, const json& answer) {
  if (options.json) return said(options, answer, "");
  const std::string name = answer.value("name", ""), invitation = answer.value("invitation", "");
  fmt::print("{}\n", invitation);
  fmt::print(stderr, "shown once, good once, for a week: on the web page, or `qanat account enrol {} {}`\n",
             name, invitation);
  return 0;
}

int invite_account(const Options& options, const TokenCreate& request) {
  json body{{"name", request.name}, {"role", request.role}};
  if (!request.tenant.empty()) body["tenant"] = request.tenant;
  return invited(options, ask(find_controller(options), "POST", "/v1/accounts", body.dump()));
}

int list_accounts(const Options& options) {
  const json accounts = ask(find_controller(options), "GET", "/v1/accounts");
  if (options.json) return said(options, accounts, "");
  Table table{{"NAME", "ROLE", "TENANT", "STATE", "LAST HERE", "RECOVERY CODES"}};
  for (const json& a : accounts)
    table.row({a.value("name", ""), a.value("role", ""), a.value("tenant", ""), a.value("state", ""),
               clock_or(a, "last_sign_in_unix_s", "never"), std::to_string(a.value("recovery_codes", 0))});
  fmt::print("{}", table.text(terminal_width()));
  return 0;
}

int turn_account(const Options& options, const std::string& name, const std::string& verb) {
  const std::string at = "/v1/accounts/" + name;
  const json answer = verb == "remove" ? ask(find_controller(options), "DELETE", at)
                                       : ask(find_controller(options), "POST", at + "/" + verb);
  if (verb == "reset") return invited(options, answer);
  return said(options, answer, fmt::format("{} is {}d", name, verb));
}

int enrol_account(const Options& options, const std::string& name, const std::string& invitation) {
  const Place controller = find_controller(options);
  json body{{"name", name},
            {"invitation", invitation},
            {"password", asked("New password, 12 characters or more", true)}};
  const json factor = ask(controller, "POST", "/v1/enrol", body.dump());
  fmt::print(stderr, "For your authenticator: {}\n{}\n", factor.value("secret", ""), factor.value("uri", ""));
  body["code"] = asked("The code that it shows", false);
  const json done = ask(controller, "POST", "/v1/enrol", body.dump());
  if (options.json) return said(options, done, "");
  fmt::print(stderr, "Enrolled. Each of these lets you in once without the authenticator; shown once:\n");
  for (const json& code : done.at("recovery_codes")) fmt::print("{}\n", code.get<std::string>());
  return 0;
}

// Into the context in use, or one called after nobody in particular.
int sign_in(const Options& options, const std::string& name) {
  const Place controller = find_controller(options);
  const json body{{"name", name},
                  {"password", asked("Password", true)},
                  {"code", asked("Code of your authenticator", false)}};
  const json session = ask(controller, "POST", "/v1/sign-in", body.dump());
  const bool kept = !controller.origin.starts_with("unix:");  // a socket asks nobody who they are
  if (kept) {
    Contexts contexts = read_contexts(contexts_file());
    if (contexts.current.empty()) contexts.current = "default";
    Context& context = contexts.all[contexts.current];
    context.controller = controller.origin;
    context.token = session.value("token", "");
    write_contexts(contexts_file(), contexts);
  }
  return said(options, session,
              fmt::format("{} is signed in as {} until {}{}", name, session.value("role", ""),
                          clock_or(session, "expires_unix_s", "?"),
                          kept ? "" : "; on this host the socket needs no session, and no context keeps it"));
}

int sign_out(const Options& options) {
  const json answer = ask(find_controller(options), "POST", "/v1/sign-out");
  Contexts contexts = read_contexts(contexts_file());
  if (const auto current = contexts.all.find(contexts.current); current != contexts.all.end()) {
    current->second.token.clear();
    write_contexts(contexts_file(), contexts);
  }
  return said(options, answer, "signed out");
}

struct ContextArguments {
  std::string token_file, key_file;
};

int set_context(const Options& options, const std::string& name, const ContextArguments& a) {
  Contexts contexts = read_contexts(contexts_file());
  Context& context = contexts.all[name];
  if (!options.controller.empty()) context.controller = options.controller;
  if (!options.gateway.empty()) context.gateway = options.gateway;
  if (!a.token_file.empty()) context.token = first_line(a.token_file);
  if (!a.key_file.empty()) context.key = first_line(a.key_file);
  if (contexts.current.empty()) contexts.current = name;
  write_contexts(contexts_file(), contexts);
  return said(options, {{"context", name}, {"current", contexts.current}},
              fmt::format("context {} is set{}", name, contexts.current == name ? ", and in use" : ""));
}

int use_context(const Options& options, const std::string& name) {
  Contexts contexts = read_contexts(contexts_file());
  if (name != "none" && !contexts.all.contains(name))
    throw CommandError{kNotFound, fmt::format("no context is called {}", name),
                       "`qanat context list` shows them"};
  contexts.current = name == "none" ? "" : name;
  write_contexts(contexts_file(), contexts);
  return said(options, {{"current", contexts.current}},
              name == "none" ? "no context is in use" : fmt::format("context {} is in use", name));
}

int remove_context(const Options& options, const std::string& name) {
  Contexts contexts = read_contexts(contexts_file());
  if (contexts.all.erase(name) == 0)
    throw CommandError{kNotFound, fmt::format("no context is called {}", name),
                       "`qanat context list` shows them"};
  if (contexts.current == name) contexts.current.clear();
  write_contexts(contexts_file(), contexts);
  return said(options, {{"current", contexts.current}}, fmt::format("context {} is no more", name));
}

int list_contexts(const Options& options) {
  const Contexts contexts = read_contexts(contexts_file());
  json list = json::array();
  Table table{{"", "CONTEXT", "CONTROLLER", "TOKEN", "GATEWAY", "KEY"}};
  const auto held = [](const std::string& secret) { return secret.empty() ? "" : "held"; };
  for (const auto& [name, c] : contexts.all) {
    const bool used = name == contexts.current;
    list.push_back({{"name", name},
                    {"in_use", used},
                    {"controller", c.controller},
                    {"gateway", c.gateway},
                    {"token_held", !c.token.empty()},
                    {"key_held", !c.key.empty()}});
    table.row({used ? "*" : "", name, c.controller, held(c.token), c.gateway, held(c.key)});
  }
  return said(options, list,
              contexts.all.empty() ? "no context; `qanat context set NAME --controller URL`"
                                   : table.text(terminal_width()));
}

CLI::App* named(CLI::App* app, Arguments& a, const char* what) {
  app->add_option("name", a.first, what)->required();
  return app;
}

void add_context_commands(CLI::App& app, Arguments& a, Action& action) {
  static ContextArguments more;
  Options& o = a.options;
  CLI::App* contexts = noun(app, "context", "places to talk to, with what lets you in; one is in use");
  CLI::App* set =
      named(command(*contexts, o, action, "set", "make one, or change what is named",
                    "qanat context set work --controller http://10.0.0.1:7480 --token-from token.txt\n"
                    "  qanat context set work --gateway http://100.96.1.1:8080 --key-from key.txt",
                    [&a] { return set_context(a.options, a.first, more); }),
            a, "its name");
  set->add_option("--controller", o.controller, "a controller's URL")->type_name("URL");
  set->add_option("--token-from", more.token_file, "a file whose first line is a token")->type_name("FILE");
  set->add_option("--gateway", o.gateway, "a gateway's URL")->type_name("URL");
  set->add_option("--key-from", more.key_file, "a file whose first line is a tenant's key")
      ->type_name("FILE");
  named(command(*contexts, o, action, "use", "commands talk to this one from now on; none: to none",
                "qanat context use work", [&a] { return use_context(a.options, a.first); }),
        a, "its name, or none");
  command(*contexts, o, action, "list", "all of them, without their secrets", "qanat context list",
          [&a] { return list_contexts(a.options); });
  named(command(*contexts, o, action, "remove", "forget one, and its secrets", "qanat context remove work",
                [&a] { return remove_context(a.options, a.first); }),
        a, "its name");
}

}  // namespace

void add_account_commands(CLI::App& app, Arguments& a, Action& action) {
  Options& o = a.options;
  CLI::App* accounts = noun(app, "account", "people who sign in at the controller, with two factors");
  CLI::App* invite = named(command(*accounts, o, action, "invite", "an account; its invitation is shown once",
                                   "qanat account invite alice --role operator",
                                   [&a] { return invite_account(a.options, a.token); }),
                           a, "whose it is");
  invite->get_option("name")->each([&a](const std::string& name) { a.token.name = name; });
  invite->add_option("--role", a.token.role, "what they may")
      ->check(CLI::IsMember({"viewer", "operator", "admin"}));
  invite->add_option("--tenant", a.token.tenant, "only for this tenant")->type_name("TENANT");
  with_controller(invite, o);
  with_controller(command(*accounts, o, action, "list", "every account", "qanat account list",
                          [&o] { return list_accounts(o); }),
                  o);
  const auto turn = [&](const char* verb) {
    return [&a, name = std::string(verb)] { return turn_account(a.options, a.first, name); };
  };
  for (CLI::App* one :
       {command(*accounts, o, action, "reset", "forget password, second factor, sessions; a fresh invitation",
                "qanat account reset alice", turn("reset")),
        command(*accounts, o, action, "disable", "nobody signs in with it; its sessions end",
                "qanat account disable alice", turn("disable")),
        command(*accounts, o, action, "enable", "as it was before", "qanat account enable alice",
                turn("enable")),
        command(*accounts, o, action, "remove", "it is no more; its sessions end",
                "qanat account remove alice", turn("remove"))})
    with_controller(named(one, a, "whose it is"), o);
  CLI::App* enrol = named(command(*accounts, o, action, "enrol", "your own, with an invitation",
                                  "qanat account enrol alice qi1.… --controller http://10.0.0.1:7480",
                                  [&a] { return enrol_account(a.options, a.first, a.second); }),
                          a, "yours");
  enrol->add_option("invitation", a.second, "what the admin was shown")->required();
  with_controller(enrol, o);
  with_controller(named(command(app, o, action, "sign-in", "for twelve hours; kept in the context in use",
                                "qanat sign-in alice --controller http://10.0.0.1:7480",
                                [&a] { return sign_in(a.options, a.first); }),
                        a, "the account's name"),
                  o);
  with_controller(command(app, o, action, "sign-out", "end the session of the context in use",
                          "qanat sign-out", [&o] { return sign_out(o); }),
                  o);
  add_context_commands(app, a, action);
}

}  // namespace qanat::cli
