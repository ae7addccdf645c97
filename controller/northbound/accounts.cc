#include "controller/northbound/accounts.hh"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

#include "base/hex.hh"
#include "controller/northbound/object_reader.hh"
#include "controller/northbound/one_time_code.hh"
#include "controller/policy/tenant_check.hh"
#include "controller/session/join_token.hh"
#include "controller/store/store.hh"

namespace qanat::northbound {
namespace {

constexpr std::string_view kAccountPrefix = "account/";
constexpr std::string_view kInvitationText = "qi1.";
constexpr std::size_t kMostAccounts = 10'000;
constexpr std::size_t kMostTries = 4096;  // names remembered
constexpr std::size_t kSaltBytes = 16;

std::string key_of(const std::string& name) { return std::string(kAccountPrefix) + name; }

std::string bytes_of(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

std::string hex_text(std::string_view bytes) {
  return base::to_hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

std::string from_hex_text(const std::string& text) {
  const auto bytes = base::from_hex(text);
  return bytes ? bytes_of(*bytes) : std::string();
}

bool same_bytes(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string digest_text(std::string_view text) { return hex_text(session::hash_of(std::string(text))); }

AccountState state_of(const Json& json) {
  const std::string text = json.value("state", std::string());
  for (const AccountState s : {AccountState::Active, AccountState::Disabled})
    if (text == to_string(s)) return s;
  return AccountState::Invited;
}

AccountView account_view(const std::string& name, const Json& json) {
  return {name,
          parse_role(json.value("role", std::string())).value_or(Role::Viewer),
          json.value("tenant", std::string()),
          state_of(json),
          json.value("created_by", std::string()),
          json.value("created", base::UnixSeconds{0}),
          json.value("last_sign_in", base::UnixSeconds{0}),
          json.contains("recovery") ? json.at("recovery").size() : 0};
}

std::optional<Json> read_account(store::Store& store, const std::string& name) {
  if (!policy::good_name(name)) return std::nullopt;
  const auto kept = store.value(key_of(name));
  if (!kept) return std::nullopt;
  return Json::parse(*kept, nullptr, false);
}

bool invitation_fits(const Json& json, std::string_view invitation, base::UnixSeconds now) {
  const std::string hash = json.value("invitation", std::string());
  return state_of(json) == AccountState::Invited && !hash.empty() &&
         json.value("invitation_ends", base::UnixSeconds{0}) > now &&
         same_bytes(hash, digest_text(invitation));
}

// A fresh invitation, and nothing of what was known before.
std::string invited_anew(Json& json, base::UnixSeconds now) {
  const std::string text = std::string(kInvitationText) + base::to_base64url(base::random_bytes(24));
  for (const char* key : {"salt", "password", "secret", "used_step", "recovery"}) json.erase(key);
  json["state"] = to_string(AccountState::Invited);
  json["invitation"] = digest_text(text);
  json["invitation_ends"] = now + Accounts::kInvitation_s;
  return text;
}

}  // namespace

std::string_view to_string(AccountState state) {
  switch (state) {
    case AccountState::Active: return "active";
    case AccountState::Disabled: return "disabled";
    default: return "invited";
  }
}

std::string new_salt() { return bytes_of(base::random_bytes(kSaltBytes)); }

PasswordKey stretched(std::string_view password, std::string_view salt) {
  constexpr std::uint64_t kN = 1u << 15, kR = 8, kP = 3, kMemory = 64u << 20;
  PasswordKey key{};
  if (EVP_PBE_scrypt(password.data(), password.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                     salt.size(), kN, kR, kP, kMemory, key.data(), key.size()) != 1)
    key = {};  // refused by sign_in and enrol
  return key;
}

std::variant<Accounts::Invited, Accounts::Problems> Accounts::invite(const AccountRequest& request,
                                                                     const Caller& by,
                                                                     base::UnixSeconds now) {
  Problems problems;
  if (!policy::good_name(request.name))
    problems.push_back("name: '" + request.name + "' is not a-z, 0-9 and '-', 1 to 63");
  else if (store_.value(key_of(request.name)))
    problems.push_back("name: '" + request.name + "' has an account");
  if (!request.tenant.empty() && !policy::good_name(request.tenant))
    problems.push_back("tenant: '" + request.tenant + "' is no name");
  if (!request.tenant.empty() && request.role == Role::Admin)
    problems.push_back("role: a tenant's account is viewer or operator");
  if (list().size() >= kMostAccounts) problems.push_back("there are 10000 accounts; remove some");
  if (!problems.empty()) return problems;
  Json json{{"role", to_string(request.role)},
            {"tenant", request.tenant},
            {"created_by", by.name},
            {"created", now}};
  Invited invited;
  invited.invitation = invited_anew(json, now);
  store_.set_value(key_of(request.name), text_of(json));
  invited.view = account_view(request.name, json);
  return invited;
}

std::optional<Accounts::Invited> Accounts::reset(const std::string& name, base::UnixSeconds now) {
  auto json = read_account(store_, name);
  if (!json) return std::nullopt;
  Invited invited;
  invited.invitation = invited_anew(*json, now);
  store_.set_value(key_of(name), text_of(*json));
  end_sessions(name, false, now);
  tries_.erase(name);
  invited.view = account_view(name, *json);
  return invited;
}

std::optional<AccountView> Accounts::enable(const std::string& name, bool enabled) {
  auto json = read_account(store_, name);
  if (!json) return std::nullopt;
  const bool enrolled = json->contains("password");
  (*json)["state"] = to_string(!enabled   ? AccountState::Disabled
                               : enrolled ? AccountState::Active
                                          : AccountState::Invited);
  store_.set_value(key_of(name), text_of(*json));
  if (!enabled) end_sessions(name, false, 0);
  return account_view(name, *json);
}

bool Accounts::remove(const std::string& name) {
  if (!read_account(store_, name)) return false;
  end_sessions(name, false, 0);
  store_.set_values({{key_of(name), ""}});
  tries_.erase(name);
  return true;
}

std::vector<AccountView> Accounts::list() const {
  std::vector<AccountView> out;
  for (const auto& [key, value] : store_.values_of(kAccountPrefix, "", kMostAccounts))
    out.push_back(account_view(key.substr(kAccountPrefix.size()), Json::parse(value, nullptr, false)));
  return out;
}

std::string Accounts::salt_of(const std::string& name) const {
  const auto json = read_account(store_, name);
  if (json && json->contains("salt")) return from_hex_text(json->value("salt", std::string()));
  return new_salt();
}

base::Duration Accounts::pause_left(const std::string& name, base::Time now) const {
  const auto tried = tries_.find(name);
  if (tried == tries_.end() || tried->second.wrong < kTries) return {};
  return std::max(base::Duration{}, tried->second.last + kPause - now);
}

bool Accounts::exists(const std::string& name) const { return read_account(store_, name).has_value(); }

bool Accounts::paused(const std::string& name, base::Time now) const {
  return pause_left(name, now) > base::Duration{};
}

Accounts::Refused Accounts::wrong(const std::string& name, base::Time mono) {
  if (tries_.size() >= kMostTries && !tries_.contains(name))
    tries_.erase(std::min_element(tries_.begin(), tries_.end(), [](const auto& a, const auto& b) {
      return a.second.last < b.second.last;
    }));
  Tries& tries = tries_[name];
  if (tries.wrong >= kTries && tries.last + kPause <= mono) tries.wrong = 0;
  ++tries.wrong;
  tries.last = mono;
  return Refused::No;
}

std::variant<Accounts::Secret, Accounts::Refused> Accounts::begin(const std::string& name,
                                                                  std::string_view invitation,
                                                                  std::string_view issuer,
                                                                  base::UnixSeconds now, base::Time mono) {
  if (paused(name, mono)) return Refused::TooMany;
  auto json = read_account(store_, name);
  if (!json || !invitation_fits(*json, invitation, now)) return wrong(name, mono);
  const std::string secret = bytes_of(base::random_bytes(kSecretBytes));
  (*json)["secret"] = hex_text(secret);
  store_.set_value(key_of(name), text_of(*json));
  return Secret{to_base32({reinterpret_cast<const std::uint8_t*>(secret.data()), secret.size()}),
                otpauth_uri(issuer, name, secret)};
}

std::variant<Accounts::Enrolled, Accounts::Refused> Accounts::enrol(
    const std::string& name, std::string_view invitation, const std::string& salt, const PasswordKey& key,
    std::string_view code, base::UnixSeconds now, base::Time mono) {
  if (paused(name, mono)) return Refused::TooMany;
  auto json = read_account(store_, name);
  if (!json || !invitation_fits(*json, invitation, now) || key == PasswordKey{}) return wrong(name, mono);
  const std::string secret = from_hex_text(json->value("secret", std::string()));
  const auto step = secret.empty() ? std::nullopt : accepted_step(secret, code, now, 0);
  if (!step) return wrong(name, mono);
  Enrolled enrolled;
  Json hashes = Json::array();
  for (std::size_t i = 0; i < kRecoveryCodes; ++i) {
    std::string text = to_base32(base::random_bytes(10));  // 80 bits: nothing to stretch
    hashes.push_back(digest_text(text));
    enrolled.recovery_codes.push_back(std::move(text));
  }
  json->erase("invitation");
  json->erase("invitation_ends");
  (*json)["state"] = to_string(AccountState::Active);
  (*json)["salt"] = hex_text(salt);
  (*json)["password"] = base::to_hex(key);
  (*json)["used_step"] = *step;
  (*json)["recovery"] = std::move(hashes);
  store_.set_value(key_of(name), text_of(*json));
  tries_.erase(name);
  return enrolled;
}

std::variant<Access::Made, Accounts::Refused> Accounts::sign_in(const std::string& name,
                                                                const PasswordKey& key, std::string_view code,
                                                                base::UnixSeconds now, base::Time mono) {
  if (paused(name, mono)) return Refused::TooMany;
  auto json = read_account(store_, name);
  if (!json || state_of(*json) != AccountState::Active || key == PasswordKey{} ||
      !same_bytes(json->value("password", std::string()), base::to_hex(key)))
    return wrong(name, mono);
  const std::string secret = from_hex_text(json->value("secret", std::string()));
  if (const auto step = accepted_step(secret, code, now, json->value("used_step", std::uint64_t{0}))) {
    (*json)["used_step"] = *step;
  } else {
    std::string given(code);
    std::transform(given.begin(), given.end(), given.begin(),
                   [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
    const std::string hash = digest_text(given);
    Json left = Json::array();
    for (const Json& one : json->value("recovery", Json::array()))
      if (!same_bytes(one.get<std::string>(), hash)) left.push_back(one);
    if (left.size() == json->value("recovery", Json::array()).size()) return wrong(name, mono);
    (*json)["recovery"] = std::move(left);
  }
  (*json)["last_sign_in"] = now;
  store_.set_value(key_of(name), text_of(*json));
  tries_.erase(name);
  end_sessions(name, true, now);
  const AccountView view = account_view(name, *json);
  auto made = access_.make({name, view.role, view.tenant, kSession_s},
                           {std::string(kSignedIn) + name, view.role}, now);
  if (auto* token = std::get_if<Access::Made>(&made)) return *token;
  return Refused::No;  // ten thousand tokens
}

void Accounts::end_sessions(const std::string& name, bool expired_only, base::UnixSeconds now) {
  for (const TokenView& token : access_.tokens())
    if (token.created_by == std::string(kSignedIn) + name && (!expired_only || token.expires <= now))
      access_.revoke(token.id);
}

}  // namespace qanat::northbound
