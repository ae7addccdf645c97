// Accounts: who may call, how many calls at once, and for how much. Tenants hold projects, projects hold keys; a call
// must fit the budget of all three. What a call may cost at most is held at admission and given back when it settles,
// so that calls in flight cannot spend the same money twice.
// Sans-I/O and not thread-safe; key_store.hh keeps it across restarts.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hh"
#include "gateway/admit/api_key.hh"
#include "gateway/admit/errc.hh"
#include "gateway/admit/scope.hh"
#include "gateway/meter/money.hh"

namespace qanat::admit {

struct KeyInfo {
  std::string id;
  std::string tenant, project, name;  // lower case letters, digits, "-", "_", ".": see valid_name
  std::int64_t created_unix_ms = 0;
  std::uint32_t max_calls = 0;  // in flight at once; 0: no limit of its own
  bool revoked = false;
  std::int64_t expires_unix_ms = 0;  // 0: never
  Scope scope = {};
  // See rates.hh; 0: no limit of its own.
  std::uint32_t max_calls_per_minute = 0;
  std::uint64_t max_tokens_per_minute = 0;

  bool expired(std::int64_t now_unix_ms) const {
    return expires_unix_ms != 0 && now_unix_ms >= expires_unix_ms;
  }
};
// 1 … 63 of [a-z0-9._-], starting with a letter or digit.
bool valid_name(std::string_view name);

// Accounts by their text: "lab", "lab/default", "key:key-0123456789ab".
std::string tenant_account(const KeyInfo& key);
std::string project_account(const KeyInfo& key);
std::string key_account(const KeyInfo& key);

class Accounts {
 public:
  Accounts() = default;
  // A budget that is spent to so many percent (1 … 99) is near its end.
  explicit Accounts(int near_percent) : near_percent_(near_percent) {}

  void add(const KeyHash& hash, KeyInfo info);
  // From this instant on, or earlier if it was to end earlier; false if there is no such key.
  bool expire(std::string_view id, std::int64_t unix_ms);
  // At once, for calls that come after; false if there is no such key. Calls in flight run to their end.
  bool revoke(std::string_view id);
  std::vector<KeyInfo> keys() const;  // by creation, then id
  const KeyInfo* find(std::string_view id) const;

  // The key behind an "authorization" header's value (null: there was none). Valid until the next add.
  base::Result<const KeyInfo*> authenticate(const std::string* authorization) const;

  // No limit: none given, or a negative one.
  void set_budget(const std::string& account, meter::Nano limit);
  void add_spent(const std::string& account, meter::Nano amount);
  struct Balance {
    std::optional<meter::Nano> limit;
    meter::Nano spent = 0;
    meter::Nano held = 0;
    meter::Nano granted = 0;    // of the limit, to this gateway, where several share it
    meter::Nano elsewhere = 0;  // of the limit, spent by the others that share it, as far as they told
    bool refused = false;       // too little was left for the last call that asked
  };
  Balance balance(const std::string& account) const;
  std::map<std::string, meter::Nano> budgets() const;

  // From here on the limits are those of several gateways together: `spent` is this one's, and it may spend what it was
  // granted of them.
  void share_budgets() { shared_ = true; }
  void set_granted(const std::string& account, meter::Nano granted) { balances_[account].granted = granted; }
  void set_elsewhere(const std::string& account, meter::Nano spent);
  // The first of the key's accounts whose slice is too small for a call that may cost `at_most`, and by how much.
  struct Shortage {
    std::string account;
    meter::Nano missing = 0;
    meter::Nano limit = 0;
  };
  std::optional<Shortage> shortage(const KeyInfo& key, meter::Nano at_most) const;
  // The first of the key's accounts that cannot carry `at_most` more, and what is left of it.
  struct Lack {
    std::string account;
    meter::Nano left = 0, limit = 0;
  };
  std::optional<Lack> lack(const KeyInfo& key, meter::Nano at_most) const;

  // For what lasts longer than a call, and takes no place among those in flight: held before it begins, nothing on
  // failure; then, in as many parts as it is billed in, held no longer and so much of it spent.
  base::Result<void> hold(const KeyInfo& key, meter::Nano at_most);
  void settle_held(const KeyInfo& key, meter::Nano held, meter::Nano spent);

  // A call let in. Give it back with settle(), exactly once.
  struct Hold {
    KeyInfo key;
    meter::Nano held = 0;
  };
  // `at_most`: what the call can cost. Nothing is held on failure.
  base::Result<Hold> admit(const KeyInfo& key, meter::Nano at_most);
  void settle(const Hold& hold, meter::Nano cost);
  std::uint32_t in_flight(std::string_view key_id) const;

  // A budget that has just come near its end or to it: spent (by all that share it), or too little left for a call that was
  // refused. Once for each until the limit is set anew; what was spent before this process began is no news.
  struct Alert {
    std::string account;
    int percent = 0;  // near_percent or 100
    meter::Nano spent = 0, limit = 0;
  };
  std::optional<Alert> poll_alert();
  // Where the account stands now: 0, near_percent or 100. A refusal stands until a call is let in again.
  int alert(const Balance& balance) const;
  // The worst that stands for one of the key's accounts; of equals the widest account's.
  std::optional<Alert> standing_alert(const KeyInfo& key) const;
  // A shared budget has too little left for this call, and nobody grants more.
  void refuse(const KeyInfo& key, meter::Nano at_most);

 private:
  struct HashOfHash {
    std::size_t operator()(const KeyHash& hash) const noexcept;
  };
  void note_use(const std::string& account, const Balance& balance);
  void note_known(const std::string& account, const Balance& balance);

  int near_percent_ = 80;
  std::map<std::string, int, std::less<>> told_;  // account → the highest percentage that was told
  std::vector<Alert> alerts_;
  // What this gateway may spend of it; none: no limit.
  std::optional<meter::Nano> ceiling(const Balance& b) const;

  bool shared_ = false;
  std::unordered_map<KeyHash, KeyInfo, HashOfHash> keys_;
  std::map<std::string, Balance, std::less<>> balances_;
  std::map<std::string, std::uint32_t, std::less<>> in_flight_;  // key id → calls
};

}  // namespace qanat::admit
