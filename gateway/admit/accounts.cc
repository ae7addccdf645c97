#include "gateway/admit/accounts.hh"

#include <algorithm>
#include <array>
#include <cstring>
#include <tuple>

namespace qanat::admit {
namespace {

std::array<std::string, 3> accounts_of(const KeyInfo& key) {
  return {tenant_account(key), project_account(key), key_account(key)};
}

}  // namespace

bool valid_name(std::string_view name) {
  const auto letter_or_digit = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  return !name.empty() && name.size() <= 63 && letter_or_digit(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [&](char c) { return letter_or_digit(c) || c == '-' || c == '_' || c == '.'; });
}

std::string tenant_account(const KeyInfo& key) { return key.tenant; }
std::string project_account(const KeyInfo& key) { return key.tenant + "/" + key.project; }
std::string key_account(const KeyInfo& key) { return "key:" + key.id; }

std::size_t Accounts::HashOfHash::operator()(const KeyHash& hash) const noexcept {
  std::size_t value;
  std::memcpy(&value, hash.data(), sizeof value);
  return value;
}

void Accounts::add(const KeyHash& hash, KeyInfo info) { keys_.insert_or_assign(hash, std::move(info)); }

bool Accounts::revoke(std::string_view id) {
  const auto it = std::find_if(keys_.begin(), keys_.end(), [&](const auto& e) { return e.second.id == id; });
  if (it == keys_.end()) return false;
  it->second.revoked = true;
  return true;
}

bool Accounts::expire(std::string_view id, std::int64_t unix_ms) {
  const auto it = std::find_if(keys_.begin(), keys_.end(), [&](const auto& e) { return e.second.id == id; });
  if (it == keys_.end()) return false;
  KeyInfo& info = it->second;
  if (!info.expired(unix_ms)) info.expires_unix_ms = unix_ms;
  return true;
}

const KeyInfo* Accounts::find(std::string_view id) const {
  const auto it = std::find_if(keys_.begin(), keys_.end(), [&](const auto& e) { return e.second.id == id; });
  return it == keys_.end() ? nullptr : &it->second;
}

std::vector<KeyInfo> Accounts::keys() const {
  std::vector<KeyInfo> list;
  for (const auto& [hash, info] : keys_) list.push_back(info);
  std::sort(list.begin(), list.end(), [](const KeyInfo& a, const KeyInfo& b) {
    return std::tie(a.created_unix_ms, a.id) < std::tie(b.created_unix_ms, b.id);
  });
  return list;
}

base::Result<const KeyInfo*> Accounts::authenticate(const std::string* authorization) const {
  if (!authorization) return Errc::MissingKey;
  const auto text = bearer(*authorization);
  if (!text) return Errc::MissingKey;
  const auto hash = hash_of(*text);
  if (!hash) return Errc::BadKey;
  const auto it = keys_.find(*hash);
  if (it == keys_.end() || it->second.revoked) return Errc::BadKey;
  return &it->second;
}

void Accounts::set_budget(const std::string& account, meter::Nano limit) {
  Balance& b = balances_[account];
  const auto fresh = limit < 0 ? std::nullopt : std::optional(limit);
  if (b.limit != fresh) {
    told_.erase(account);
    b.limit = fresh;
    b.refused = false;
    note_known(account, b);
  }
}

void Accounts::add_spent(const std::string& account, meter::Nano amount) {
  Balance& b = balances_[account];
  b.spent += amount;
  note_known(account, b);
}

void Accounts::set_elsewhere(const std::string& account, meter::Nano spent) {
  Balance& b = balances_[account];
  b.elsewhere = spent;
  note_use(account, b);
}

int Accounts::alert(const Balance& b) const {
  if (!b.limit) return 0;
  const meter::Nano spent = b.spent + b.elsewhere;
  if (b.refused || spent >= *b.limit) return 100;
  return spent * 100 >= *b.limit * near_percent_ ? near_percent_ : 0;
}

void Accounts::note_known(const std::string& account, const Balance& b) {
  if (const int percent = alert(b); percent != 0) told_[account] = percent;
}

void Accounts::note_use(const std::string& account, const Balance& b) {
  const int percent = alert(b);
  if (percent == 0) return;
  int& told = told_[account];
  if (percent <= told) return;
  told = percent;
  alerts_.push_back({account, percent, b.spent + b.elsewhere, *b.limit});
}

std::optional<Accounts::Alert> Accounts::standing_alert(const KeyInfo& key) const {
  if (told_.empty()) return std::nullopt;  // what stands was told
  std::optional<Alert> worst;
  for (const std::string& account : accounts_of(key)) {
    const Balance b = balance(account);
    const int percent = alert(b);
    if (percent > (worst ? worst->percent : 0))
      worst = Alert{account, percent, b.spent + b.elsewhere, *b.limit};
  }
  return worst;
}

void Accounts::refuse(const KeyInfo& key, meter::Nano at_most) {
  const auto lacking = lack(key, at_most);
  if (!lacking) return;
  Balance& b = balances_[lacking->account];
  b.refused = true;
  note_use(lacking->account, b);
}

std::optional<Accounts::Alert> Accounts::poll_alert() {
  if (alerts_.empty()) return std::nullopt;
  Alert alert = std::move(alerts_.front());
  alerts_.erase(alerts_.begin());
  return alert;
}

Accounts::Balance Accounts::balance(const std::string& account) const {
  const auto it = balances_.find(account);
  return it == balances_.end() ? Balance{} : it->second;
}

std::map<std::string, meter::Nano> Accounts::budgets() const {
  std::map<std::string, meter::Nano> limits;
  for (const auto& [account, b] : balances_)
    if (b.limit) limits.emplace(account, *b.limit);
  return limits;
}

std::optional<meter::Nano> Accounts::ceiling(const Balance& b) const {
  if (!shared_ || !b.limit) return b.limit;
  return b.granted;
}

std::optional<Accounts::Shortage> Accounts::shortage(const KeyInfo& key, meter::Nano at_most) const {
  if (!shared_) return std::nullopt;
  for (const std::string& account : accounts_of(key)) {
    const Balance b = balance(account);
    if (!b.limit) continue;
    const meter::Nano missing = b.spent + b.held + at_most - b.granted;
    if (missing > 0) return Shortage{account, missing, *b.limit};
  }
  return std::nullopt;
}

std::optional<Accounts::Lack> Accounts::lack(const KeyInfo& key, meter::Nano at_most) const {
  for (const std::string& account : accounts_of(key)) {
    const Balance b = balance(account);
    const auto most = ceiling(b);
    if (most && b.spent + b.held + at_most > *most)
      return Lack{account, std::max<meter::Nano>(*most - b.spent - b.held, 0), *b.limit};
  }
  return std::nullopt;
}

base::Result<void> Accounts::hold(const KeyInfo& key, meter::Nano at_most) {
  if (lack(key, at_most)) {
    if (!shared_) refuse(key, at_most);  // of a shared one more may be granted
    return Errc::BudgetExceeded;
  }
  for (const std::string& account : accounts_of(key)) {
    Balance& b = balances_[account];
    b.held += at_most;
    b.refused = false;
  }
  return {};
}

void Accounts::settle_held(const KeyInfo& key, meter::Nano held, meter::Nano spent) {
  for (const std::string& account : accounts_of(key)) {
    Balance& b = balances_[account];
    b.held -= held;
    b.spent += spent;
    note_use(account, b);
  }
}

base::Result<Accounts::Hold> Accounts::admit(const KeyInfo& key, meter::Nano at_most) {
  const auto calls = in_flight_.find(key.id);
  if (key.max_calls != 0 && calls != in_flight_.end() && calls->second >= key.max_calls)
    return Errc::TooManyCalls;
  if (const auto held = hold(key, at_most); !held) return held.error();
  ++in_flight_[key.id];
  return Hold{key, at_most};
}

void Accounts::settle(const Hold& hold, meter::Nano cost) {
  settle_held(hold.key, hold.held, cost);
  const auto calls = in_flight_.find(hold.key.id);
  if (calls != in_flight_.end() && --calls->second == 0) in_flight_.erase(calls);
}

std::uint32_t Accounts::in_flight(std::string_view key_id) const {
  const auto it = in_flight_.find(key_id);
  return it == in_flight_.end() ? 0 : it->second;
}

}  // namespace qanat::admit
