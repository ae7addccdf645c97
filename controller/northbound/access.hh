// Access: who may ask for what. Tokens with a role, perhaps for one tenant alone, perhaps for a time; kept as SHA-256 of their
// text, shown once. The admin's and the viewer's token files stand beside them and never end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.hh"

namespace qanat::store {
class Store;
}

namespace qanat::northbound {

// Each may what those before it may. Viewer: look. Operator: tenants, drains, ways: what `apply` changes. Admin: members, keys,
// tokens.
// `created_by` of tokens that signing in made, before the account's name; no name holds a colon.
inline constexpr std::string_view kSignedIn = "sign-in:";

enum class Role : std::uint8_t { Viewer, Operator, Admin };
std::string_view to_string(Role role);
std::optional<Role> parse_role(std::string_view text);

struct Caller {
  std::string name;  // a token's; "admin" and "viewer" those of the files, "root" on the socket
  Role role = Role::Viewer;
  std::string tenant{};  // not empty: only this tenant's
};

struct TokenView {
  std::string id;
  std::string name;
  Role role = Role::Viewer;
  std::string tenant;
  std::string created_by;
  base::UnixSeconds created = 0;
  base::UnixSeconds expires = 0;  // 0: never
};

struct TokenRequest {
  std::string name;
  Role role = Role::Viewer;
  std::string tenant;
  std::uint64_t ttl_s = 0;  // 0: for ever
};

class Access {
 public:
  enum class Refused : std::uint8_t { Missing, Unknown, Expired };

  explicit Access(store::Store& store) : store_(store) {}  // outlives it
  // The files' tokens; an empty one opens nothing.
  void let_in(std::string admin_token, std::string viewer_token);

  // `header`: the authorization field, null when there is none. Asked for every request: a token that is revoked is unknown with
  // the next one, on every controller of the same store.
  std::variant<Caller, Refused> who(const std::string* header, base::UnixSeconds now) const;

  struct Made {
    std::string text;  // "qa1.ID.SECRET", shown once
    TokenView view;
  };
  std::variant<Made, std::vector<std::string>> make(const TokenRequest& request, const Caller& by,
                                                    base::UnixSeconds now);
  // By id; those that ended too, until they are revoked.
  std::vector<TokenView> tokens() const;
  bool revoke(const std::string& id);
  // Signing out: revokes the token that `header` carries, if it is one that signing in made.
  bool end_session(const std::string* header);

 private:
  store::Store& store_;
  std::string admin_token_;
  std::string viewer_token_;
};

// Of equal content? In time that depends on neither.
bool same_token(const std::string& given, const std::string& expected);

}  // namespace qanat::northbound
