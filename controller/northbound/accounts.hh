// Accounts: people who sign in, with a password and a second factor; what they get is a token of their role, for a day's work.
// Programs have tokens (access.hh). Nothing here is kept that would let its reader in: passwords are stretched, codes for the
// day the phone is lost are hashed; only the second factor's secret has to be there as it is.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/time.hh"
#include "controller/northbound/access.hh"

namespace qanat::store {
class Store;
}

namespace qanat::northbound {

// Invited ──enrol──> Active <──disable, enable──> Disabled; reset: Invited again. Only Active signs in.
enum class AccountState : std::uint8_t { Invited, Active, Disabled };
std::string_view to_string(AccountState state);

struct AccountView {
  std::string name;
  Role role = Role::Viewer;
  std::string tenant;
  AccountState state = AccountState::Invited;
  std::string created_by;
  base::UnixSeconds created = 0;
  base::UnixSeconds last_sign_in = 0;  // 0: never
  std::size_t recovery_codes = 0;      // left
};

struct AccountRequest {
  std::string name;
  Role role = Role::Viewer;
  std::string tenant;
};

using PasswordKey = std::array<std::uint8_t, 32>;
std::string new_salt();  // 16 bytes
// scrypt (RFC 7914), N = 2¹⁵, r = 8, p = 3: 32 MiB and some tenths of a second. Not for a thread that others wait for.
PasswordKey stretched(std::string_view password, std::string_view salt);

class Accounts {
 public:
  static constexpr base::UnixSeconds kInvitation_s = 7 * 86'400, kSession_s = 12 * 3600;
  static constexpr std::size_t kLeastPassword = 12, kMostPassword = 128, kRecoveryCodes = 10;
  static constexpr std::uint32_t kTries = 5;  // wrong ones in a row; then none is looked at for kPause
  static constexpr base::Duration kPause = std::chrono::minutes{5};

  // Both outlive it.
  Accounts(store::Store& store, Access& access) : store_(store), access_(access) {}

  struct Invited {
    std::string invitation;  // "qi1.…", shown once, good once, for a week
    AccountView view;
  };
  using Problems = std::vector<std::string>;
  std::variant<Invited, Problems> invite(const AccountRequest& request, const Caller& by,
                                         base::UnixSeconds now);
  // Password, second factor and sessions are forgotten; a fresh invitation. nullopt: no such account, as below.
  std::optional<Invited> reset(const std::string& name, base::UnixSeconds now);
  // Disabled: sessions end with the next request.
  std::optional<AccountView> enable(const std::string& name, bool enabled);
  bool remove(const std::string& name);
  std::vector<AccountView> list() const;  // by name
  bool exists(const std::string& name) const;

  // What a password is stretched with; for a name that is unknown, something of the same form.
  std::string salt_of(const std::string& name) const;

  enum class Refused : std::uint8_t { No, TooMany };  // what was wrong is never told
  // Wrong tries of late; of names that do not exist as well.
  bool paused(const std::string& name, base::Time now) const;
  base::Duration pause_left(const std::string& name, base::Time now) const;

  struct Secret {
    std::string base32, uri;
  };
  struct Enrolled {
    std::vector<std::string> recovery_codes;  // shown once
  };
  // With an invitation, in two steps: without a code the secret for the authenticator; with its code, done. A second first
  // step makes another secret.
  std::variant<Secret, Refused> begin(const std::string& name, std::string_view invitation,
                                      std::string_view issuer, base::UnixSeconds now, base::Time mono);
  std::variant<Enrolled, Refused> enrol(const std::string& name, std::string_view invitation,
                                        const std::string& salt, const PasswordKey& key,
                                        std::string_view code, base::UnixSeconds now, base::Time mono);
  // `code`: the authenticator's, good once, or one of the recovery codes, used up by it.
  std::variant<Access::Made, Refused> sign_in(const std::string& name, const PasswordKey& key,
                                              std::string_view code, base::UnixSeconds now, base::Time mono);

 private:
  struct Tries {
    std::uint32_t wrong = 0;
    base::Time last{};
  };
  Refused wrong(const std::string& name, base::Time mono);
  void end_sessions(const std::string& name, bool expired_only, base::UnixSeconds now);

  store::Store& store_;
  Access& access_;
  std::map<std::string, Tries> tries_;  // bounded; in memory: a restart forgives
};

}  // namespace qanat::northbound
