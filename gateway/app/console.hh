// Console: who may use the gateway's admin API over TCP: operators, viewers, and suppliers of its pools.
// The Unix socket needs none of this; but no browser opens one, and a supplier is not root here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/http_server.hh"

namespace qanat::base {
class ConfigTable;
}

namespace qanat::app {

// [console] in qanat-gateway.toml(5).
struct ConsoleConfig {
  struct Supplier {
    std::string name, token_file;
    std::vector<std::string> pools;  // ids; their statements and offers, and no more
  };
  std::string listen;  // ADDRESS:PORT; empty: there is no console
  std::string admin_token_file, viewer_token_file;
  std::vector<Supplier> suppliers;
};

void read_console(base::ConfigTable& root, ConsoleConfig& config);

class Console {
 public:
  // Supplier: the statements and offers of its pools. Viewer: looks at everything. Operator: changes as well.
  enum class Role : std::uint8_t { Supplier, Viewer, Operator };
  struct Caller {
    std::string name;
    Role role = Role::Viewer;
    std::vector<std::string> pools{};  // a supplier's
  };

  // Only the token's SHA-256 is kept.
  void let_in(std::string_view token, Caller caller);
  // Whose token it is, or why not: 401 unauthorized. Takes as long for every wrong token.
  std::variant<Caller, base::HttpRefusal> who(const base::Request& head) const;
  // What stands before the routes: 401 as above, 403 forbidden where the role does not reach. `head` has no body yet.
  std::optional<base::HttpRefusal> judge(const base::Request& head) const;

 private:
  struct Known {
    std::array<std::uint8_t, 32> hash{};
    Caller caller;
  };
  std::vector<Known> known_;
};

std::string_view to_string(Console::Role role);

// Reads the token files (16 characters or more, else std::system_error that names the file).
Console open_console(const ConsoleConfig& config);

}  // namespace qanat::app
