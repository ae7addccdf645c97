#include "gateway/app/console.hh"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>
#include <set>
#include <system_error>

#include "base/config.hh"
#include "base/file.hh"
#include "gateway/admit/api_key.hh"

namespace qanat::app {
namespace {

constexpr std::size_t kLeastToken = 16;
constexpr std::string_view kStatements = "/v1/statements/", kOffers = "/v1/offers/";

std::array<std::uint8_t, 32> sha256_of(std::string_view text) {
  std::array<std::uint8_t, 32> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), hash.data());
  return hash;
}

std::string console_token(const std::string& file) {
  std::string token = base::read_file(file, 4096);
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r' || token.back() == ' '))
    token.pop_back();
  if (token.size() < kLeastToken)
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            file + ": a token of 16 characters or more");
  return token;
}

// What a browser loads before anybody has signed in.
bool free_for_all(const base::Request& in) {
  return in.path == "/" || in.path == "/healthz" || in.path.starts_with("/ui/");
}

base::HttpRefusal beyond(const Console::Caller& caller, std::string_view takes) {
  return {403, "forbidden", fmt::format("{} is {} here", caller.name, to_string(caller.role)),
          fmt::format("it takes {}", takes)};
}

}  // namespace

std::string_view to_string(Console::Role role) {
  switch (role) {
    case Console::Role::Supplier: return "supplier";
    case Console::Role::Operator: return "operator";
    default: return "viewer";
  }
}

void read_console(base::ConfigTable& root, ConsoleConfig& config) {
  auto table = root.table("console");
  if (!table) return;
  config.listen = table->string("listen");
  if (!config.listen.empty() && !base::split_address(config.listen))
    table->problem("listen", "\"" + config.listen + "\" is not an address", "ADDRESS:PORT");
  config.admin_token_file = table->string("admin_token_file");
  config.viewer_token_file = table->string("viewer_token_file", "");
  std::set<std::string> names{"admin", "viewer"};
  for (base::ConfigTable& one : table->tables("supplier")) {
    ConsoleConfig::Supplier supplier;
    supplier.name = one.string("name");
    supplier.token_file = one.string("token_file");
    supplier.pools = one.strings("pools", true);
    if (!names.insert(supplier.name).second)
      one.problem("name", "is taken", "a name of its own, neither \"admin\" nor \"viewer\"");
    config.suppliers.push_back(std::move(supplier));
  }
}

void Console::let_in(std::string_view token, Caller caller) {
  known_.push_back({sha256_of(token), std::move(caller)});
}

std::variant<Console::Caller, base::HttpRefusal> Console::who(const base::Request& head) const {
  const std::string* header = head.headers.find("authorization");
  const auto token = header ? admit::bearer(*header) : std::nullopt;
  const auto given = sha256_of(token.value_or(std::string_view()));
  const Known* found = nullptr;
  for (const Known& one : known_)
    if (CRYPTO_memcmp(one.hash.data(), given.data(), given.size()) == 0) found = &one;
  if (token && found) return found->caller;
  base::HttpRefusal refusal{401, "unauthorized", "a token is needed that is good here",
                            "authorization: Bearer TOKEN; the files are named in [console]"};
  refusal.headers.add("www-authenticate", "Bearer");
  return refusal;
}

std::optional<base::HttpRefusal> Console::judge(const base::Request& head) const {
  if (free_for_all(head)) return std::nullopt;
  const auto said = who(head);
  if (const auto* refusal = std::get_if<base::HttpRefusal>(&said)) return *refusal;
  const auto& caller = std::get<Caller>(said);
  if (caller.role == Role::Operator || head.path == "/v1/console") return std::nullopt;
  const bool looks = head.method == "GET";
  if (caller.role == Role::Viewer) return looks ? std::nullopt : std::optional(beyond(caller, "an operator"));
  const std::string_view path = head.path;
  const auto its_own = [&](std::string_view prefix) {
    return path.starts_with(prefix) && std::find(caller.pools.begin(), caller.pools.end(),
                                                 path.substr(prefix.size())) != caller.pools.end();
  };
  if ((looks && its_own(kStatements)) || its_own(kOffers)) return std::nullopt;
  return beyond(caller, "a viewer, or the pool's own supplier");
}

Console open_console(const ConsoleConfig& config) {
  Console console;
  console.let_in(console_token(config.admin_token_file), {"admin", Console::Role::Operator});
  if (!config.viewer_token_file.empty())
    console.let_in(console_token(config.viewer_token_file), {"viewer", Console::Role::Viewer});
  for (const auto& supplier : config.suppliers)
    console.let_in(console_token(supplier.token_file),
                   {supplier.name, Console::Role::Supplier, supplier.pools});
  return console;
}

}  // namespace qanat::app
