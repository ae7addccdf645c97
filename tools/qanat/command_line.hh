// How commands are declared: what every subcommand has, and the options that many share. For main.cc and what it is split into;
// it brings CLI11.
#pragma once

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <string>
#include <utility>

#include "tools/qanat/audit_commands.hh"
#include "tools/qanat/commands.hh"

namespace qanat::cli {

using Action = std::function<int()>;

// One subcommand: what it says of itself, and what it does when it was the one.
inline CLI::App* command(CLI::App& parent, Options& options, Action& action, const std::string& name,
                         const std::string& summary, const std::string& example, Action run) {
  CLI::App* app = parent.add_subcommand(name, summary);
  app->footer("\nExample:\n  " + example);
  app->add_flag("--json", options.json, "print JSON rather than text");
  app->callback([&action, run = std::move(run)] { action = run; });
  return app;
}

inline void with_lab(CLI::App* app, Options& options) {
  app->add_option("--lab", options.lab, "the lab to ask, where several run")->type_name("NAME");
}

inline void with_socket(CLI::App* app, Options& options) {
  with_lab(app, options);
  app->add_option("--socket", options.socket, "a daemon's Unix socket, instead of the lab's")
      ->type_name("PATH");
}

inline void with_gateway(CLI::App* app, Options& options) {
  with_lab(app, options);
  app->add_option("--gateway", options.gateway, "a gateway's URL, instead of the lab's")
      ->envname("QANAT_GATEWAY")
      ->type_name("URL");
  app->add_option("--key", options.key, "a tenant's key")->envname("QANAT_KEY")->type_name("KEY");
}

// Operators' commands also work from afar, with a token.
inline void with_controller(CLI::App* app, Options& options) {
  with_socket(app, options);
  app->add_option("--controller", options.controller, "a controller's URL, with a token in QANAT_TOKEN")
      ->envname("QANAT_CONTROLLER")
      ->type_name("URL");
}

inline CLI::App* noun(CLI::App& parent, const std::string& name, const std::string& summary) {
  CLI::App* app = parent.add_subcommand(name, summary);
  app->require_subcommand(1);
  return app;
}

struct Arguments {
  Options options;
  std::string first, second, tier;
  bool planned = false;
  MatrixRequest matrix;
  bool wait = false;
  DialRequest dial;
  TunnelRequest tunnel;
  PublishRequest publish;
  CaptureRequest capture;
  SlaRequest sla;
  InviteRequest invite;
  JoinRequest join;
  ApplyRequest apply;
  AuditRequest audit;
  std::uint64_t number = 0;
  TokenCreate token;
  WhatIfRequest what_if;
  DoctorRequest doctor;
  TopRequest top;
};

// What operators ask of a controller: operator_options.cc.
void add_key_commands(CLI::App& app, Arguments& a, Action& action);
void add_intent_commands(CLI::App& app, Arguments& a, Action& action);
// People: account_commands.cc.
void add_account_commands(CLI::App& app, Arguments& a, Action& action);
// All boxes together: fleet_command.cc.
void add_fleet_commands(CLI::App& app, Arguments& a, Action& action);

}  // namespace qanat::cli
