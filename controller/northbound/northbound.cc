#include "controller/northbound/northbound.hh"

#include <openssl/crypto.h>

#include <array>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "base/metrics.hh"
#include "controller/northbound/event_stream.hh"
#include "controller/northbound/json_views.hh"
#include "controller/northbound/page.hh"
#include "controller/session/join_token.hh"
#include "controller/session/level.hh"
#include "controller/session/listener.hh"
#include "ui/pages.hh"

namespace qanat::northbound {

using base::HttpServer;
using base::Request;
using base::Responder;
using Answer = boost::asio::awaitable<void>;

namespace {

session::Now now() { return {base::monotonic_now(), base::unix_now()}; }

std::string joined(const Problems& problems) {
  std::string text;
  for (const auto& problem : problems) text += (text.empty() ? "" : "; ") + problem;
  return text;
}

Answer bad(Responder& out, const Problems& problems, std::string_view hint) {
  co_await out.error(400, "bad_request", joined(problems), hint);
}

}  // namespace

bool same_token(const std::string& given, const std::string& expected) {
  // Digests are of one length, and tell nothing of where two texts differ.
  const std::string a = session::hash_of(given), b = session::hash_of(expected);
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

struct Northbound::State {
  State(boost::asio::io_context& io, session::Level& l, const session::Listener& s)
      : level(l), listener(s), events(io), tcp(io), local(io) {}

  session::Level& level;
  const session::Listener& listener;
  EventStream events;
  base::MetricsRegistry metrics;
  HttpServer tcp;
  HttpServer local;
  std::string admin_token;
  std::string viewer_token;      // empty: nobody
  std::string addresses = "[]";  // JSON

  void add_routes(HttpServer& server, bool guarded);
  void add_metrics();
  Answer mint(Request& in, Responder& out);
  Answer put_tenant(Request& in, Responder& out);
  Answer paths(Request& in, Responder& out);
  Answer rotate_node(Request& in, Responder& out);
};

Northbound::Northbound(boost::asio::io_context& io, session::Level& level, const session::Listener& listener)
    : state_(std::make_shared<State>(io, level, listener)) {
  state_->add_metrics();
  state_->add_routes(state_->tcp, true);
  state_->add_routes(state_->local, false);
  level.on_event([state = state_.get()](const session::Event& event) {
    state->events.publish(event.kind, to_json(event));
  });
}

Northbound::~Northbound() { stop(); }

void Northbound::listen_tcp(const std::string& address, std::string admin_token, std::string viewer_token) {
  state_->admin_token = std::move(admin_token);
  state_->viewer_token = std::move(viewer_token);
  state_->tcp.listen_tcp(address);
}

void Northbound::members_connect_to(std::vector<std::string> addresses) {
  std::string list;
  for (const std::string& address : addresses) list += (list.empty() ? "\"" : ",\"") + address + "\"";
  state_->addresses = "[" + list + "]";
}

void Northbound::listen_unix(const std::string& path) { state_->local.listen_unix(path); }

std::uint16_t Northbound::port() const { return state_->tcp.port(); }

void Northbound::stop() {
  state_->level.on_event({});
  state_->events.stop();
  state_->tcp.stop();
  state_->local.stop();
}

Answer Northbound::State::mint(Request& in, Responder& out) {
  const auto request = parse_join_token_request(in.body);
  constexpr std::string_view kHint = "POST {\"node\":\"city\",\"relay\":false,\"ttl_s\":3600}";
  if (const auto* problems = std::get_if<Problems>(&request)) co_return co_await bad(out, *problems, kHint);
  const auto& wanted = std::get<JoinTokenRequest>(request);
  const auto minted = level.mint_join_token(wanted.node, wanted.relay, wanted.ttl_s, now());
  if (const auto* problems = std::get_if<Problems>(&minted)) co_return co_await bad(out, *problems, kHint);
  // Neither base64url nor addresses need escapes.
  co_await out.json(201,
                    "{\"token\":\"" + std::get<std::string>(minted) + "\",\"addresses\":" + addresses + "}");
}

Answer Northbound::State::put_tenant(Request& in, Responder& out) {
  constexpr std::string_view kHint =
      "PUT {\"vni\":100,\"members\":[{\"node\":\"city\",\"addresses\":[\"100.96.1.1/32\"],\"prefixes\":[]}]}";
  const auto tenant = parse_tenant(in.capture("name"), in.body);
  if (const auto* problems = std::get_if<Problems>(&tenant)) co_return co_await bad(out, *problems, kHint);
  const auto problems = level.put_tenant(std::get<session::TenantView>(tenant), now());
  if (!problems.empty()) co_return co_await bad(out, problems, kHint);
  co_await out.json(200, "{}");
}

Answer Northbound::State::paths(Request& in, Responder& out) {
  session::PathQuery query{in.parameter("from").value_or(""), in.parameter("to").value_or(""), std::nullopt};
  if (const auto tier = in.parameter("tier")) {
    query.tier = ids::parse_tier(*tier);
    if (!query.tier) {
      co_await out.error(400, "bad_tier", "no such tier", "critical, interactive, bulk or scavenger");
      co_return;
    }
  }
  co_await out.json(200, to_json(level.paths(query)));
}

// What was begun, or why it cannot be now.
Answer begun(Responder& out, Problems problems, std::string_view hint) {
  if (problems.empty()) co_return (void) co_await out.json(202, "{}");
  co_await out.error(409, "not_now", joined(problems), hint);
}

Answer Northbound::State::rotate_node(Request& in, Responder& out) {
  const auto problems = level.rotate_member(std::string(in.capture("name")));
  if (problems) co_return co_await begun(out, *problems, "GET /v1/nodes says who is connected");
  co_await out.error(404, "no_such_node", "no member of that name", "GET /v1/nodes lists them");
}

// What a standby cannot answer, its leader can.
Answer or_leader(HttpServer::Handler& handler, Request& in, Responder& out) {
  std::string why;
  try {
    co_return co_await handler(in, out);
  } catch (const session::NotLeader& elsewhere) {
    why = elsewhere.what();
  }
  co_await out.error(503, "not_leader", why, "GET /v1/status names the leader");
}

void Northbound::State::add_routes(HttpServer& server, bool guarded) {
  const auto route = [&](std::string_view method, std::string_view pattern, HttpServer::Handler asked) {
    HttpServer::Handler handler = [asked = std::move(asked)](Request& in, Responder& out) mutable {
      return or_leader(asked, in, out);
    };
    if (!guarded) return server.route(method, pattern, std::move(handler), 256 * 1024);
    server.route(
        method, pattern,
        [this, handler = std::move(handler)](Request& in, Responder& out) -> Answer {
          constexpr std::string_view kBearer = "Bearer ";
          const std::string* given = in.headers.find("authorization");
          const bool bearer = given != nullptr && given->size() > kBearer.size() &&
                              base::equal_ignoring_case(given->substr(0, kBearer.size()), kBearer);
          const std::string token = bearer ? given->substr(kBearer.size()) : std::string();
          const bool admin = bearer && same_token(token, admin_token);
          const bool viewer = bearer && !viewer_token.empty() && same_token(token, viewer_token);
          if (admin || (viewer && in.method == "GET")) co_return co_await handler(in, out);
          if (viewer)
            co_return void(co_await out.error(403, "forbidden", "this token may look, and change nothing",
                                              "the admin token may"));
          out.set_header("www-authenticate", "Bearer");
          co_await out.error(401, "unauthorized", "the admin token is needed", "authorization: Bearer TOKEN");
        },
        256 * 1024);
  };
  const auto get = [&](std::string_view pattern, std::function<std::string()> text) {
    route("GET", pattern,
          [text = std::move(text)](Request&, Responder& out) -> Answer { co_await out.json(200, text()); });
  };
  get("/v1/status", [this] { return to_json(level.status(now())); });
  get("/v1/nodes", [this] { return to_json(level.nodes()); });
  get("/v1/matrix", [this] { return to_json(level.matrix(now())); });
  get("/v1/tenants", [this] { return to_json(level.tenants()); });
  route("GET", "/v1/paths", [this](Request& in, Responder& out) { return paths(in, out); });
  route("POST", "/v1/join-tokens", [this](Request& in, Responder& out) { return mint(in, out); });
  route("PUT", "/v1/tenants/{name}", [this](Request& in, Responder& out) { return put_tenant(in, out); });
  route("DELETE", "/v1/tenants/{name}", [this](Request& in, Responder& out) -> Answer {
    if (level.remove_tenant(std::string(in.capture("name")), now()))
      co_return (void) co_await out.json(200, "{}");
    co_await out.error(404, "no_such_tenant", "no tenant of that name is kept here");
  });
  route("DELETE", "/v1/nodes/{name}", [this](Request& in, Responder& out) -> Answer {
    if (level.revoke(std::string(in.capture("name")), now())) co_return (void) co_await out.json(200, "{}");
    co_await out.error(404, "no_such_node", "no member of that name", "GET /v1/nodes lists them");
  });
  route("POST", "/v1/nodes/{name}/rotate-key",
        [this](Request& in, Responder& out) { return rotate_node(in, out); });
  get("/v1/ca", [this] { return to_json(level.ca_status()); });
  route("POST", "/v1/ca/rotate", [this](Request&, Responder& out) {
    return begun(out, level.rotate_ca(now()), "GET /v1/ca says how far it is");
  });
  route("POST", "/v1/ca/advance", [this](Request&, Responder& out) {
    return begun(out, level.advance_ca(now()), "POST /v1/ca/rotate begins one");
  });
  get("/v1/network-key", [this] { return to_json(level.network_key_status()); });
  route("POST", "/v1/network-key/rotate", [this](Request&, Responder& out) {
    return begun(out, level.rotate_network_key(now()), "GET /v1/network-key says how far it is");
  });
  route("GET", "/v1/events", [this](Request&, Responder& out) {
    return events.serve(out, [this] { return to_json(level.status(now())); });
  });
  route("GET", "/metrics", [this](Request&, Responder& out) -> Answer {
    co_await out.send(200, "text/plain; version=0.0.4", metrics.text());
  });
  // The pages hold no secret; they ask for the token and send it with what they fetch. Where npm was missing at build: the
  // small page.
  if (ui::add_pages(server, ui::Site::Controller)) return;
  server.route("GET", "/", [](Request&, Responder& out) -> Answer {
    out.set_header(
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'");
    co_await out.send(200, "text/html; charset=utf-8", std::string(kPage));
  });
}

void Northbound::State::add_metrics() {
  struct Series {
    const char* name;
    const char* help;
    std::uint64_t session::ListenerCounters::*field;
  };
  constexpr std::array kSeries{
      Series{"qanat_southbound_accepted_total", "Connections accepted", &session::ListenerCounters::accepted},
      Series{"qanat_southbound_turned_away_total", "Connections closed: too many unauthenticated ones",
             &session::ListenerCounters::turned_away},
      Series{"qanat_southbound_handshake_failed_total", "TLS handshakes that failed",
             &session::ListenerCounters::handshake_failed},
      Series{"qanat_southbound_enrolled_total", "Members enrolled", &session::ListenerCounters::enrolled},
      Series{"qanat_southbound_refused_total", "Requests and sessions refused",
             &session::ListenerCounters::refused},
      Series{"qanat_southbound_frames_total", "Control messages received",
             &session::ListenerCounters::frames_in},
      Series{"qanat_southbound_frames_too_large_total", "Frames over the limit",
             &session::ListenerCounters::frames_too_large},
      Series{"qanat_southbound_frames_malformed_total", "Frames that hold no message",
             &session::ListenerCounters::frames_malformed},
      Series{"qanat_southbound_superseded_total", "Sessions replaced by a newer one",
             &session::ListenerCounters::superseded},
      Series{"qanat_southbound_too_slow_total", "Sessions closed: outbox full",
             &session::ListenerCounters::too_slow},
      Series{"qanat_southbound_silent_total", "Sessions closed: nothing heard",
             &session::ListenerCounters::silent}};
  std::vector<std::pair<base::Gauge*, std::uint64_t session::ListenerCounters::*>> gauges;
  for (const Series& s : kSeries) gauges.emplace_back(&metrics.gauge(s.name, s.help), s.field);
  auto& members = metrics.gauge("qanat_members", "Members enrolled and not revoked");
  auto& connected = metrics.gauge("qanat_members_connected", "Members with a session");
  auto& links = metrics.gauge("qanat_links_usable", "Directed links that paths may use");
  auto& policies = metrics.gauge("qanat_policies", "Policies computed");
  auto& parent = metrics.gauge("qanat_parent_connected", "1: the session with the global controller stands");
  metrics.before_text([this, gauges, &members, &connected, &links, &policies, &parent] {
    for (const auto& [gauge, field] : gauges) gauge->set(static_cast<double>(listener.counters().*field));
    const auto status = level.status(now());
    members.set(static_cast<double>(status.members));
    connected.set(static_cast<double>(status.connected));
    links.set(static_cast<double>(status.links_usable));
    policies.set(static_cast<double>(status.policies));
    parent.set(status.parent == "connected" ? 1 : 0);
  });
}

}  // namespace qanat::northbound
