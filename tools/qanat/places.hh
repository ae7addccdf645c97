// Places: where the daemons are that a command talks to: what the command line says, else the environment, else the
// context in use (contexts.hh), else the lab that runs on this machine, else the service that a package put here.
#pragma once

#include <optional>
#include <string>

#include "tools/lab/state.hh"

namespace qanat::cli {

// What every command takes.
struct Options {
  bool json = false;
  std::string lab;         // --lab
  std::string socket;      // --socket: a daemon's Unix socket
  std::string gateway;     // --gateway, QANAT_GATEWAY
  std::string key;         // --key, QANAT_KEY
  std::string controller;  // --controller, QANAT_CONTROLLER: a controller's URL
  std::string token;       // QANAT_TOKEN: an operator's
};

struct Place {
  std::string what;    // "the gateway at city", for messages
  std::string origin;  // "unix:/run/…" or "http://…"
  std::string netns;   // entered for the connection; "" for none
  std::string key;     // bearer key; "" for none
};

// The lab to talk about: --lab, or the only one there is. nullopt when none runs. Throws CommandError where the
// choice is unclear or the named one is not there.
std::optional<lab::LabState> find_lab(const Options& options);
// All three throw CommandError with a next step when there is nothing to be found.
Place find_controller(const Options& options);
Place find_gateway(const Options& options);
// The box called `node`, if the lab has it; with --socket, that one.
std::optional<Place> find_box(const Options& options, const std::string& node);

}  // namespace qanat::cli
