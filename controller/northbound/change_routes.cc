// What one may change. Each is checked against the caller's role, done, and written to the audit log, in this order.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "controller/northbound/desk.hh"
#include "controller/northbound/desk_views.hh"
#include "controller/northbound/json_views.hh"

namespace qanat::northbound {
namespace {

constexpr Need kTenantsOperator{Role::Operator, true};
constexpr std::string_view kTenantHint =
    "PUT {\"vni\":100,\"members\":[{\"node\":\"city\",\"addresses\":[\"100.96.1.1/32\"],\"prefixes\":[]}]}";

Reply bad(const Problems& problems, std::string_view hint) {
  return failed(400, "bad_request", joined(problems), hint);
}

// What was begun, or why it cannot be now.
Reply begun(const Problems& problems, std::string_view hint) {
  if (!problems.empty()) return failed(409, "not_now", joined(problems), hint);
  return {.status = 202, .body = "{}", .result = "begun"};
}

Reply frozen(const Intents::Frozen& freeze) {
  return failed(409, "frozen",
                fmt::format("nothing changes until {:%Y-%m-%dT%H:%M:%SZ}{}{}",
                            fmt::gmtime(static_cast<std::time_t>(freeze.until)),
                            freeze.why.empty() ? "" : ": ", freeze.why),
                "POST /v1/apply {\"freezes\":[]} ends it");
}

Reply no_such_version() {
  return failed(404, "no_such_version", "no version of that number is kept", "GET /v1/versions");
}

By by(const Request& in, const Caller& caller) { return {caller.name, in.peer}; }

Intents::Run run_of(const Request& in) {
  const auto dry = in.parameter("dry_run");
  return dry && *dry != "false" ? Intents::Run::Dry : Intents::Run::Real;
}

// A tenant's own operator says who may talk to whom inside: labels and rules. Where it is, which addresses it has and which VNI
// are the network's business.
bool only_policy_differs(const session::TenantView& a, const session::TenantView& b) {
  return a.vni == b.vni && std::equal(a.members.begin(), a.members.end(), b.members.begin(), b.members.end(),
                                      [](const auto& x, const auto& y) {
                                        return x.node == y.node && x.addresses == y.addresses &&
                                               x.prefixes == y.prefixes;
                                      });
}

}  // namespace

void Desk::add_change_routes(Routes& routes) {
  routes.change("POST", "/v1/join-tokens", kAdmin, [this](Request& in, const Caller&) { return mint(in); });
  routes.change("PUT", "/v1/tenants/{name}", kTenantsOperator,
                [this](Request& in, const Caller& caller) { return put_tenant(in, caller); });
  routes.change("DELETE", "/v1/tenants/{name}", kOperator, [this](Request& in, const Caller& caller) {
    return replied(intents_.remove_tenant(std::string(in.capture("name")), by(in, caller), now()), "",
                   failed(404, "no_such_tenant", "no tenant of that name is kept here"));
  });
  routes.change("DELETE", "/v1/nodes/{name}", kAdmin, [this](Request& in, const Caller&) -> Reply {
    if (level_.revoke(std::string(in.capture("name")), now())) return {.result = "revoked"};
    return failed(404, "no_such_node", "no member of that name", "GET /v1/nodes lists them");
  });
  routes.change("POST", "/v1/nodes/{name}/rotate-key", kAdmin, [this](Request& in, const Caller&) {
    const auto problems = level_.rotate_member(std::string(in.capture("name")));
    if (problems) return begun(*problems, "GET /v1/nodes says who is connected");
    return failed(404, "no_such_node", "no member of that name", "GET /v1/nodes lists them");
  });
  routes.change("POST", "/v1/ca/rotate", kAdmin, [this](Request&, const Caller&) {
    if (const auto freeze = intents_.frozen(now())) return frozen(*freeze);
    return begun(level_.rotate_ca(now()), "GET /v1/ca says how far it is");
  });
  routes.change("POST", "/v1/ca/advance", kAdmin, [this](Request&, const Caller&) {
    return begun(level_.advance_ca(now()), "POST /v1/ca/rotate begins one");
  });
  routes.change("POST", "/v1/network-key/rotate", kAdmin, [this](Request&, const Caller&) {
    if (const auto freeze = intents_.frozen(now())) return frozen(*freeze);
    return begun(level_.rotate_network_key(now()), "GET /v1/network-key says how far it is");
  });
  routes.change("POST", "/v1/apply", kOperator,
                [this](Request& in, const Caller& caller) { return apply(in, caller); });
  routes.change("POST", "/v1/canary/promote", kOperator, [this](Request& in, const Caller& caller) {
    return settle(session::CanaryEnd::GoesToAll, in, caller);
  });
  routes.change("POST", "/v1/canary/rollback", kOperator, [this](Request& in, const Caller& caller) {
    return settle(session::CanaryEnd::TakenBack, in, caller);
  });
  routes.change(
      "POST", "/v1/versions/{version}/restore", kOperator, [this](Request& in, const Caller& caller) {
        std::uint64_t version = 0;
        const auto text = in.capture("version");
        std::from_chars(text.data(), text.data() + text.size(), version);
        return replied(intents_.restore(version, run_of(in), by(in, caller), now()), "", no_such_version());
      });
  routes.change("POST", "/v1/tokens", kAdmin,
                [this](Request& in, const Caller& caller) { return make_token(in, caller); });
  routes.change("DELETE", "/v1/tokens/{id}", kAdmin, [this](Request& in, const Caller&) -> Reply {
    const std::string id(in.capture("id"));
    if (access.revoke(id)) return {.result = "revoked"};
    return failed(404, "no_such_token", "no token of that id", "GET /v1/tokens lists them");
  });
}

Reply Desk::replied(const Intents::Outcome& outcome, std::string_view hint, Reply missing) const {
  if (const auto* problems = std::get_if<Problems>(&outcome))
    return problems->empty() ? missing : bad(*problems, hint);
  if (const auto* conflict = std::get_if<Intents::Conflict>(&outcome)) {
    return failed(409, "not_now", fmt::format("version {} is in force", conflict->in_force),
                  "GET /v1/intent, and apply to that");
  }
  if (const auto* freeze = std::get_if<Intents::Frozen>(&outcome)) return frozen(*freeze);
  if (const auto* watched = std::get_if<Intents::Watched>(&outcome))
    return failed(409, "canary_running",
                  fmt::format("version {} is with some boxes only, and watched", watched->version),
                  "GET /v1/canary says for how long; POST /v1/canary/promote or /v1/canary/rollback ends it");
  const auto& applied = std::get<Applied>(outcome);
  return {.body = to_json(applied),
          .result = fmt::format("{}version {}", applied.changed ? "" : "unchanged, ", applied.version)};
}

Reply Desk::mint(Request& in) {
  const auto request = parse_join_token_request(in.body);
  constexpr std::string_view kHint = "POST {\"node\":\"city\",\"relay\":false,\"ttl_s\":3600}";
  if (const auto* problems = std::get_if<Problems>(&request)) return bad(*problems, kHint);
  const auto& wanted = std::get<JoinTokenRequest>(request);
  const auto minted = level_.mint_join_token(wanted.node, wanted.relay, wanted.ttl_s, now());
  if (const auto* problems = std::get_if<Problems>(&minted)) return bad(*problems, kHint);
  // Neither base64url nor addresses need escapes.
  return {.status = 201,
          .body = "{\"token\":\"" + std::get<std::string>(minted) + "\",\"addresses\":" + addresses + "}",
          .result = "for " + wanted.node};
}

Reply Desk::put_tenant(Request& in, const Caller& caller) {
  const auto parsed = parse_tenant(in.capture("name"), in.body);
  if (const auto* problems = std::get_if<Problems>(&parsed)) return bad(*problems, kTenantHint);
  const auto& tenant = std::get<session::TenantView>(parsed);
  if (!caller.tenant.empty()) {
    const auto all = intents_.current().tenants;
    const auto own =
        std::find_if(all.begin(), all.end(), [&](const auto& t) { return t.name == caller.tenant; });
    if (tenant.name != caller.tenant || own == all.end() || !only_policy_differs(*own, tenant))
      return failed(403, "forbidden", "this token may change labels and policy of tenant " + caller.tenant,
                    "members, addresses and the VNI stay as they are");
  }
  return replied(intents_.put_tenant(tenant, by(in, caller), now()), kTenantHint);
}

Reply Desk::make_token(Request& in, const Caller& caller) {
  constexpr std::string_view kHint = "POST {\"name\":\"grafana\",\"role\":\"viewer\",\"ttl_s\":2592000}";
  const auto request = parse_token_request(in.body);
  if (const auto* problems = std::get_if<Problems>(&request)) return bad(*problems, kHint);
  const auto made = access.make(std::get<TokenRequest>(request), caller, now().unix_s);
  if (const auto* problems = std::get_if<Problems>(&made)) return bad(*problems, kHint);
  const auto& token = std::get<Access::Made>(made);
  return {.status = 201, .body = to_json(token), .result = "token " + token.view.id};
}

}  // namespace qanat::northbound
