// Contexts: named places to talk to, with what lets one in; kept in a file of the user's own, one of them in use.
// $QANAT_CONTEXTS, else $XDG_CONFIG_HOME/qanat/contexts.json, else ~/.config/qanat/contexts.json; mode 0600: it holds secrets.
#pragma once

#include <map>
#include <optional>
#include <string>

namespace qanat::cli {

struct Context {
  std::string controller, token;  // a controller's URL, an operator's token or session
  std::string gateway, key;       // a gateway's URL, a tenant's key
  bool operator==(const Context&) const = default;
};

struct Contexts {
  std::string current;  // empty: none is in use
  std::map<std::string, Context> all;
  bool operator==(const Contexts&) const = default;
};

std::string contexts_file();
// Nothing where there is no file. Throws CommandError where it is there and cannot be read or understood.
Contexts read_contexts(const std::string& file);
// Replaces the file in one step.
void write_contexts(const std::string& file, const Contexts& contexts);
// The one in use: QANAT_CONTEXT, else the file's.
std::optional<Context> context_in_use();

}  // namespace qanat::cli
