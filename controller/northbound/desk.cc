#include "controller/northbound/desk.hh"

#include <fmt/format.h>

#include <array>

#include "base/clock.hh"
#include "controller/northbound/json_views.hh"
#include "controller/session/listener.hh"
#include "controller/store/store.hh"

namespace qanat::northbound {

session::Now now() { return {base::monotonic_now(), base::unix_now()}; }

std::string joined(const Problems& problems) {
  std::string text;
  for (const auto& problem : problems) text += (text.empty() ? "" : "; ") + problem;
  return text;
}

Reply failed(int status, std::string_view code, std::string message, std::string_view hint) {
  return {.status = status,
          .body = {},
          .code = std::string(code),
          .message = std::move(message),
          .hint = std::string(hint),
          .result = std::string(code)};
}

namespace {

// What needs no token: the page, what it loads, what is told to everybody, and the door itself.
bool open_to_all(const Request& in) {
  return in.path == "/" || in.path == "/healthz" || in.path == "/v1/openapi.json" ||
         in.path.starts_with("/ui/") ||
         (in.method == "POST" && (in.path == "/v1/sign-in" || in.path == "/v1/enrol"));
}

bool may(const Caller& caller, Need need) {
  return caller.role >= need.least && (caller.tenant.empty() || need.tenants_too);
}

Reply forbidden(const Caller& caller, Need need) {
  const std::string whose = caller.tenant.empty() ? "" : " of tenant " + caller.tenant;
  return failed(
      403, "forbidden", fmt::format("this token's role is {}{}", to_string(caller.role), whose),
      fmt::format("it takes {}{}", to_string(need.least), need.tenants_too ? "" : ", of the whole network"));
}

base::HttpRefusal no_entry(Access::Refused why) {
  const Reply reply =
      why == Access::Refused::Expired
          ? failed(401, "token_expired", "this token has expired",
                   "an admin makes another: qanat token create")
          : failed(401, "unauthorized", "a token is needed that is good here", "authorization: Bearer TOKEN");
  base::HttpRefusal refusal{reply.status, reply.code, reply.message, reply.hint};
  refusal.headers.add("www-authenticate", "Bearer");
  return refusal;
}

}  // namespace

Desk::Desk(boost::asio::io_context& io, session::Level& level, const session::Listener& listener,
           store::Store& store)
    : access(store),
      events(io),
      level_(level),
      store_(store),
      intents_(level, store, now()),
      audit_(store),
      accounts_(store, access) {
  add_metrics(listener);
  add_sla_metrics();
}

Desk::~Desk() { stop(); }

void Desk::stop() {
  events.stop();
  thinking_.join();
  checking_.join();
}

base::HttpHooks Desk::hooks(bool guarded) {
  base::HttpHooks hooks;
  hooks.problem_details = true;
  hooks.refused = [this](int status, std::string_view code, const Request& head) {
    note_refusal(status, code, head);
  };
  if (guarded) {
    hooks.admit = [this](const Request& head) -> std::optional<base::HttpRefusal> {
      if (open_to_all(head)) return std::nullopt;
      const auto who = access.who(head.headers.find("authorization"), base::unix_now());
      const auto* refused = std::get_if<Access::Refused>(&who);
      return refused == nullptr ? std::nullopt : std::optional(no_entry(*refused));
    };
  }
  return hooks;
}

void Desk::note_refusal(int status, std::string_view code, const Request& head) {
  metrics_
      .counter("qanat_northbound_refused_total", "Requests refused, by the error's code",
               {{"code", std::string(code)}})
      .add();
  base::log_gated(gate_, base::monotonic_now(), base::LogLevel::Warn, "northbound: {}: refused {} {}: {} {}",
                  head.peer, status, code, head.method, head.path.substr(0, 200));
}

std::optional<Caller> Desk::caller_of(const Request& in, bool guarded) const {
  if (!guarded) return Caller{"root", Role::Admin};
  if (open_to_all(in)) return Caller{"", Role::Viewer};
  const auto who = access.who(in.headers.find("authorization"), base::unix_now());
  const auto* caller = std::get_if<Caller>(&who);
  return caller == nullptr ? std::nullopt : std::optional(*caller);
}

// What a standby cannot answer, its leader can.
Answer Desk::or_leader(const Look& handler, Request& in, Responder& out, const Caller& caller) {
  std::string why;
  try {
    co_return co_await handler(in, out, caller);
  } catch (const session::NotLeader& elsewhere) {
    why = elsewhere.what();
  }
  co_await out.error(503, "not_leader", why, "GET /v1/status names the leader");
}

void Desk::Routes::look(std::string_view pattern, Need need, Look handler, std::string_view method) {
  server.route(method, pattern,
               [desk = &desk, guarded = guarded, need, handler = std::move(handler)](
                   Request& in, Responder& out) -> Answer {
                 const auto caller = desk->caller_of(in, guarded);
                 if (caller && may(*caller, need)) co_return co_await or_leader(handler, in, out, *caller);
                 const Reply reply = forbidden(caller.value_or(Caller{}), need);
                 desk->note_refusal(reply.status, reply.code, in);
                 co_await out.error(reply.status, reply.code, reply.message, reply.hint);
               });
}

void Desk::Routes::change(std::string_view method, std::string_view pattern, Need need, Change handler) {
  server.route(method, pattern,
               [desk = &desk, guarded = guarded, need, handler = std::move(handler)](
                   Request& in, Responder& out) -> Answer {
                 const Caller caller = desk->caller_of(in, guarded).value_or(Caller{});
                 const Reply reply = desk->change(handler, in, caller, need);
                 if (reply.code.empty()) {
                   co_await out.json(reply.status, reply.body);
                 } else {
                   co_await out.error(reply.status, reply.code, reply.message, reply.hint);
                 }
               });
}

// The change, what members are told of it and its line in the log are durable together, before anybody hears of them.
Reply Desk::change(const Change& handler, Request& in, const Caller& caller, Need need) {
  const store::Batch batch(store_);
  Reply reply = run(handler, in, caller, need);
  record(in, caller, reply);
  return reply;
}

// Who only stands by changes nothing, the log included.
Reply Desk::run(const Change& handler, Request& in, const Caller& caller, Need need) {
  if (const std::string leader = level_.status(now()).leader; !leader.empty())
    return {.status = 503,
            .code = "not_leader",
            .message = "this controller only stands by; the leader is at " + leader,
            .hint = "GET /v1/status names the leader",
            .logged = false};
  Reply reply = may(caller, need) ? handler(in, caller) : forbidden(caller, need);
  if (reply.status == 403 || reply.status == 400) note_refusal(reply.status, reply.code, in);
  return reply;
}

// Before it is answered.
void Desk::record(const Request& in, const Caller& caller, const Reply& reply) {
  if (!reply.logged) return;
  AuditEntry entry{.caller = caller,
                   .from = in.peer,
                   .action = in.method + " " + in.path,
                   .body = in.body,
                   .status = reply.status,
                   .result = reply.result};
  if (!in.query.empty()) entry.action += "?" + in.query.substr(0, 200);
  audit_.add(entry, base::unix_now());
}

void Desk::add_routes(HttpServer& server, bool guarded) {
  Routes routes{*this, server, guarded};
  add_look_routes(routes);
  add_change_routes(routes);
  add_account_routes(routes);
  add_sla_routes(routes);
}

namespace {
constexpr const char* kTenantAsked = "qanat_traffic_tenant_asked_bps";
constexpr const char* kTenantCarried = "qanat_traffic_tenant_carried_bps";
constexpr const char* kPlaneReserved = "qanat_plane_reserved_bps";
constexpr const char* kPlaneUsed = "qanat_plane_reserved_used_bps";
}  // namespace

void Desk::add_metrics(const session::Listener& listener) {
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
  for (const Series& s : kSeries) gauges.emplace_back(&metrics_.gauge(s.name, s.help), s.field);
  auto& members = metrics_.gauge("qanat_members", "Members enrolled and not revoked");
  auto& connected = metrics_.gauge("qanat_members_connected", "Members with a session");
  auto& links = metrics_.gauge("qanat_links_usable", "Directed links that paths may use");
  auto& policies = metrics_.gauge("qanat_policies", "Policies computed");
  auto& paths = metrics_.gauge("qanat_paths_seconds", "What the newest computation of paths took");
  auto& push = metrics_.gauge("qanat_push_seconds", "What the newest round of telling members took");
  auto& behind =
      metrics_.gauge("qanat_push_behind", "Members that have not acknowledged what they were told");
  auto& lag = metrics_.gauge("qanat_push_behind_seconds", "Since when the first of them was told");
  auto& relayed =
      metrics_.gauge("qanat_relay_probes_per_s",
                     "Probes of lists in use over the relay with most of them, as boxes are told to ask");
  auto& stretched =
      metrics_.gauge("qanat_probes_stretched",
                     "Boxes that ask their lists in use more rarely, so that relays have less of it");
  auto& epoch = metrics_.gauge("qanat_epoch", "Epoch of what this controller decides");
  auto& parent = metrics_.gauge("qanat_parent_connected", "1: the session with the global controller stands");
  auto& demands = metrics_.gauge("qanat_traffic_demands", "Pairs and tiers with traffic worth planning for");
  auto& asked = metrics_.gauge("qanat_traffic_demand_bps", "What these ask for, bits per second on the wire");
  auto& carried = metrics_.gauge("qanat_traffic_satisfied_ratio", "Of that, what the newest plan carries");
  auto& spread = metrics_.gauge("qanat_traffic_spread", "Policies whose flows are split over several lists");
  auto& planning = metrics_.gauge("qanat_traffic_plan_seconds", "What the newest plan took to compute");
  auto& late = metrics_.gauge("qanat_traffic_plans_late_total", "Plans that were not ready in time");
  auto& gathering =
      metrics_.gauge("qanat_traffic_gather_seconds", "What gathering it took, while nothing else went on");
  auto& rise =
      metrics_.gauge("qanat_traffic_rise_bps", "Of what these ask for, what is expected by the time of day");
  auto& forecasts = metrics_.gauge("qanat_traffic_forecasts", "Pairs and tiers whose days are followed");
  auto& cost = metrics_.gauge("qanat_traffic_cost_per_hour",
                              "What the newest plan costs, by planes' prices, and what is reserved");
  metrics_.before_text([this, &cost, &demands, &asked, &carried, &spread, &planning, &late, &gathering, &rise,
                        &forecasts] {
    const session::TrafficView traffic = level_.traffic();
    demands.set(static_cast<double>(traffic.demands));
    asked.set(traffic.demand_bps);
    carried.set(traffic.demand_bps > 0 ? traffic.carried_bps / traffic.demand_bps : 1);
    spread.set(static_cast<double>(traffic.spread));
    planning.set(traffic.plan_seconds);
    late.set(static_cast<double>(traffic.late_plans));
    gathering.set(traffic.hold_seconds);
    rise.set(traffic.rise_bps);
    forecasts.set(static_cast<double>(traffic.forecasts));
    cost.set(traffic.cost_per_hour);
    for (const auto& labels : std::exchange(rated_, {}))
      for (const char* name : {kTenantAsked, kTenantCarried}) metrics_.remove(name, labels);
    for (const auto& t : traffic.tenants) {
      const auto& labels = rated_.emplace_back(base::Labels{{"tenant", t.tenant}});
      metrics_.gauge(kTenantAsked, "What a tenant with rates asks for", labels).set(t.asked_bps);
      metrics_.gauge(kTenantCarried, "Of that, what the newest plan carries", labels).set(t.carried_bps);
    }
    for (const auto& labels : std::exchange(reserved_, {}))
      for (const char* name : {kPlaneReserved, kPlaneUsed}) metrics_.remove(name, labels);
    for (const auto& [plane, reserve] : traffic.reserves) {
      const auto& labels = reserved_.emplace_back(base::Labels{{"plane", std::to_string(plane)}});
      metrics_.gauge(kPlaneReserved, "What is reserved of a plane in this slot", labels)
          .set(reserve.reserved_bps);
      metrics_
          .gauge(kPlaneUsed, "What the newest plan carries over lists of a plane that is reserved", labels)
          .set(reserve.used_bps);
    }
    for (std::uint8_t plane = 1; plane <= ids::PlaneId::kMax; ++plane) {
      const auto bps = traffic.plane_bps.find(plane);
      if (bps == traffic.plane_bps.end() && !planes_seen_.contains(plane)) continue;
      planes_seen_.insert(plane);
      metrics_
          .gauge("qanat_traffic_plane_bps", "Of what the newest plan carries, over each hop's plane",
                 {{"plane", std::to_string(plane)}})
          .set(bps == traffic.plane_bps.end() ? 0 : bps->second);
    }
  });
  metrics_.before_text([this, &listener, gauges, &members, &connected, &links, &policies, &parent, &paths,
                        &push, &behind, &lag, &relayed, &stretched, &epoch] {
    for (const auto& [gauge, field] : gauges) gauge->set(static_cast<double>(listener.counters().*field));
    const auto status = level_.status(now());
    members.set(static_cast<double>(status.members));
    connected.set(static_cast<double>(status.connected));
    links.set(static_cast<double>(status.links_usable));
    policies.set(static_cast<double>(status.policies));
    for (const ids::Tier tier : ids::kTiers)
      metrics_
          .gauge("qanat_tiers_cut_off", "Pairs whose tier has no way that works within its limits",
                 {{"tier", std::string(ids::to_string(tier))}})
          .set(static_cast<double>(status.cut_off.at(static_cast<std::size_t>(tier))));
    parent.set(status.parent == "connected" ? 1 : 0);
    paths.set(status.paths_seconds);
    push.set(status.push_seconds);
    behind.set(static_cast<double>(status.behind));
    lag.set(status.behind_seconds);
    relayed.set(status.relay_probes_per_s);
    stretched.set(static_cast<double>(status.probes_stretched));
    epoch.set(static_cast<double>(status.epoch));
  });
}

}  // namespace qanat::northbound
