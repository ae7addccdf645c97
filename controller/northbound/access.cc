#include "controller/northbound/access.hh"

#include <openssl/crypto.h>

#include "base/hex.hh"
#include "base/http_message.hh"
#include "controller/northbound/object_reader.hh"
#include "controller/policy/tenant_check.hh"
#include "controller/session/join_token.hh"
#include "controller/store/store.hh"

namespace qanat::northbound {
namespace {

constexpr std::string_view kTokenPrefix = "token/";
constexpr std::string_view kText = "qa1.";
constexpr std::size_t kMostTokens = 10'000;

std::string hex_of(std::string_view bytes) {
  return base::to_hex({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

TokenView view_of(const std::string& id, const Json& json) {
  return {id,
          json.value("name", std::string()),
          parse_role(json.value("role", std::string())).value_or(Role::Viewer),
          json.value("tenant", std::string()),
          json.value("created_by", std::string()),
          json.value("created", base::UnixSeconds{0}),
          json.value("expires", base::UnixSeconds{0})};
}

// "Bearer qa1.ID.SECRET": the id.
std::optional<std::string> token_id(const std::string& header) {
  const std::size_t begin = header.find(kText);
  const std::size_t from = begin == std::string::npos ? 0 : begin + kText.size();
  const std::size_t end = begin == std::string::npos ? begin : header.find('.', from);
  if (end == std::string::npos || end - from > 64) return std::nullopt;
  return header.substr(from, end - from);
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::Operator: return "operator";
    case Role::Admin: return "admin";
    default: return "viewer";
  }
}

std::optional<Role> parse_role(std::string_view text) {
  for (const Role role : {Role::Viewer, Role::Operator, Role::Admin})
    if (text == to_string(role)) return role;
  return std::nullopt;
}

bool same_token(const std::string& given, const std::string& expected) {
  // Digests are of one length, and tell nothing of where two texts differ.
  const std::string a = session::hash_of(given), b = session::hash_of(expected);
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void Access::let_in(std::string admin_token, std::string viewer_token) {
  admin_token_ = std::move(admin_token);
  viewer_token_ = std::move(viewer_token);
}

std::variant<Caller, Access::Refused> Access::who(const std::string* header, base::UnixSeconds now) const {
  constexpr std::string_view kBearer = "Bearer ";
  if (header == nullptr || header->size() <= kBearer.size() ||
      !base::equal_ignoring_case(std::string_view(*header).substr(0, kBearer.size()), kBearer))
    return Refused::Missing;
  const std::string token = header->substr(kBearer.size());
  if (!admin_token_.empty() && same_token(token, admin_token_)) return Caller{"admin", Role::Admin};
  if (!viewer_token_.empty() && same_token(token, viewer_token_)) return Caller{"viewer", Role::Viewer};
  const std::size_t end = token.find('.', kText.size());
  if (!token.starts_with(kText) || end == std::string::npos || end > 64) return Refused::Unknown;
  const std::string id = token.substr(kText.size(), end - kText.size());
  const auto kept = store_.value(std::string(kTokenPrefix) + id);
  if (!kept) return Refused::Unknown;
  const Json json = Json::parse(*kept, nullptr, false);
  const std::string expected = json.value("hash", std::string()), given = hex_of(session::hash_of(token));
  if (given.size() != expected.size() || CRYPTO_memcmp(given.data(), expected.data(), given.size()) != 0)
    return Refused::Unknown;
  const TokenView view = view_of(id, json);
  if (view.expires != 0 && view.expires <= now) return Refused::Expired;
  return Caller{view.name, view.role, view.tenant};
}

std::variant<Access::Made, std::vector<std::string>> Access::make(const TokenRequest& request,
                                                                  const Caller& by, base::UnixSeconds now) {
  std::vector<std::string> problems;
  if (!policy::good_name(request.name))
    problems.push_back("name: '" + request.name + "' is not a-z, 0-9 and '-', 1 to 63");
  if (!request.tenant.empty() && !policy::good_name(request.tenant))
    problems.push_back("tenant: '" + request.tenant + "' is no name");
  if (!request.tenant.empty() && request.role == Role::Admin)
    problems.push_back("role: a tenant's token is viewer or operator");
  if (tokens().size() >= kMostTokens) problems.push_back("there are 10000 tokens; revoke some");
  if (!problems.empty()) return problems;
  const auto id = base::random_bytes(6), secret = base::random_bytes(32);
  Made made;
  made.view = {base::to_hex(id),
               request.name,
               request.role,
               request.tenant,
               by.name,
               now,
               request.ttl_s == 0 ? 0 : now + request.ttl_s};
  made.text = std::string(kText) + made.view.id + "." + base::to_base64url(secret);
  store_.set_value(std::string(kTokenPrefix) + made.view.id,
                   text_of(Json{{"name", request.name},
                                {"role", to_string(request.role)},
                                {"tenant", request.tenant},
                                {"created_by", by.name},
                                {"created", now},
                                {"expires", made.view.expires},
                                {"hash", hex_of(session::hash_of(made.text))}}));
  return made;
}

std::vector<TokenView> Access::tokens() const {
  std::vector<TokenView> out;
  for (const auto& [name, value] : store_.values_of(kTokenPrefix, "", kMostTokens))
    out.push_back(view_of(name.substr(kTokenPrefix.size()), Json::parse(value, nullptr, false)));
  return out;
}

bool Access::revoke(const std::string& id) {
  const std::string name = std::string(kTokenPrefix) + id;
  if (!store_.value(name)) return false;
  store_.set_values({{name, ""}});
  return true;
}

bool Access::end_session(const std::string* header) {
  const auto id = header == nullptr ? std::nullopt : token_id(*header);
  const auto kept = id ? store_.value(std::string(kTokenPrefix) + *id) : std::nullopt;
  return kept && view_of(*id, Json::parse(*kept, nullptr, false)).created_by.starts_with(kSignedIn) &&
         revoke(*id);
}

}  // namespace qanat::northbound
