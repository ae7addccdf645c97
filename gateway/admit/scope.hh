// Scope: what a key is good for beyond its tenant's rights: which endpoints, models and C-URLs. Empty lists say nothing.
// A key that leaks from a notebook should be worth what the notebook needed.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace qanat::admit {

// chat: calls. models: what is offered, and resolution. files: files, uploads, artefacts, transfers, contracts. jobs:
// fine-tunes and versions of models. account: calls' explanations, bill, usage. dial: the proxy and published services.
inline constexpr std::array<std::string_view, 6> kEndpoints{"chat", "models",  "files",
                                                            "jobs", "account", "dial"};
// The endpoint that a path of the tenants' API belongs to.
std::string_view endpoint_of(std::string_view path);

struct Scope {
  std::vector<std::string> endpoints = {};  // of kEndpoints
  std::vector<std::string> models = {};     // as pools spell them
  std::vector<std::string> c_urls = {};     // a call's pool must meet one of them, whatever the call asks for

  bool empty() const { return endpoints.empty() && models.empty() && c_urls.empty(); }
  bool operator==(const Scope&) const = default;
  // nullopt: it may. Otherwise which clause says no, for people: "scope 'models' has 'a', and not 'b'".
  std::optional<std::string> refuses_endpoint(std::string_view endpoint) const;
  std::optional<std::string> refuses_model(std::string_view model) const;
};

}  // namespace qanat::admit
