// The grades' routes, and the misses ahead: of each model, whether a call now would be in time, and whether more is
// expected than can be up.
#include <boost/asio/awaitable.hpp>
#include <charconv>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "gateway/app/grade_desk.hh"
#include "gateway/app/valve_desk.hh"
#include "gateway/relay/chat.hh"

namespace qanat::app {

using boost::asio::awaitable;
using nlohmann::json;

namespace {

constexpr std::size_t kMostMisses = 200, kMostModels = 64;
constexpr std::int64_t kWeek_ms = 7LL * 86'400'000;
constexpr place::Demand kUsualCall{512, 256};

double millis(base::Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }
double share(std::uint64_t part, std::uint64_t of) {
  return of == 0 ? 1 : static_cast<double>(part) / static_cast<double>(of);
}
json ms_of(std::int64_t us) { return us < 0 ? json(nullptr) : json(static_cast<double>(us) / 1e3); }

json spread_json(const meter::Spread& s) {
  if (s.count() == 0) return nullptr;
  return {{"p50", s.quantile(.5) / 1e3}, {"p90", s.quantile(.9) / 1e3}, {"p99", s.quantile(.99) / 1e3}};
}

json row_json(const meter::GradeRows::Row& r) {
  const meter::Grade& g = r.grade;
  json misses = json::object();
  for (std::size_t i = 1; i < meter::kMissCount; ++i)
    if (g.misses[i] > 0) misses[std::string(to_string(static_cast<meter::Miss>(i)))] = g.misses[i];
  return {{"tenant", r.tenant},
          {"model", r.model},
          {"calls", g.calls},
          {"answered", g.answered},
          {"availability", share(g.answered, g.calls)},
          {"kept", g.kept},
          {"sla_kept", share(g.kept, g.calls)},
          {"ttft_ms", spread_json(g.ttft)},
          {"tpot_ms", spread_json(g.tpot)},
          {"misses", std::move(misses)}};
}

json miss_json(const meter::MissLine& m) {
  return {{"call", m.call},
          {"tenant", m.tenant},
          {"model", m.model},
          {"unix_ms", m.unix_ms},
          {"cause", to_string(m.miss)},
          {"detail", m.detail},
          {"ttft_ms", ms_of(m.ttft_us)},
          {"tpot_ms", ms_of(m.tpot_us)},
          {"wished_ttft_ms", ms_of(m.wished_ttft_us)},
          {"wished_tpot_ms", ms_of(m.wished_tpot_us)}};
}

// `since`, milliseconds since 1970; a week ago where it is not given. nullopt: it is no number.
std::optional<std::int64_t> asked_since(const base::Request& in) {
  const auto text = in.parameter("since");
  if (!text) return static_cast<std::int64_t>(base::unix_now_ms()) - kWeek_ms;
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc{} || end != text->data() + text->size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

json GradeDesk::expected_beyond(const std::string& model) const {
  const ValveDesk::Line* const line = w_.valves.find(model);
  if (!line) return nullptr;
  const place::Valve& v = line->valve;
  double up = v.settings().local_streams, could = up;
  for (const auto& b : v.placeholders()) {
    up += b.told.serving * b.is.streams;
    could += b.is.engines * b.is.streams;
  }
  std::string cause = "full";
  if (v.settings().mode == place::ValveMode::Closed) {
    cause = "valve_closed";
    could = v.settings().local_streams;
  } else if (v.budget_reached()) {
    cause = "budget";
    could = up;
  } else if (v.state() == place::ValveState::Pending) {
    cause = "plan_waiting";
    could = up;
  }
  if (v.expected() <= could) return nullptr;
  return {{"model", model}, {"cause", cause}, {"calls_expected", v.expected()}, {"calls_that_fit", could}};
}

json GradeDesk::ahead(const std::string& model) {
  json all = json::array();
  if (json beyond = expected_beyond(model); !beyond.is_null()) all.push_back(std::move(beyond));
  const auto target = resolve::parse_target(model, relay::kInfer);
  if (!target) return all;
  place::Wish wish = w_.wish;
  wish.demand = kUsualCall;
  const place::Decision decision = relay::place_call(w_.relay, *target, wish, 0);
  if (decision.order.empty()) {
    const auto cause = decision.warm_in ? meter::Miss::Cold : meter::Miss::NoRoom;
    all.push_back({{"model", model}, {"cause", to_string(cause)}});
    return all;
  }
  const place::Option& best = decision.options[decision.order.front()];
  if (best.holds_sla) return all;
  const bool by_path = best.forecast.ttft - best.path_rtt <= wish.ttft && best.forecast.tpot <= wish.tpot;
  all.push_back({{"model", model},
                 {"cause", to_string(by_path ? meter::Miss::Network : meter::Miss::Full)},
                 {"pool", best.instance},
                 {"ttft_ms", millis(best.forecast.ttft)},
                 {"tpot_ms", millis(best.forecast.tpot)},
                 {"wished_ttft_ms", millis(wish.ttft)},
                 {"wished_tpot_ms", millis(wish.tpot)}});
  return all;
}

awaitable<json> GradeDesk::report(std::string tenant, std::int64_t since) {
  co_await keep();
  const auto work = [gateway = w_.gateway, tenant, since](meter::Ledger& l) {
    meter::GradeRows rows(l.store(), gateway);
    return std::pair(rows.grades(tenant, since), rows.misses(tenant, since, kMostMisses));
  };
  const auto [grades, misses] = co_await w_.ledger.query(work);
  json rows = json::array(), lines = json::array();
  for (const auto& row : grades) rows.push_back(row_json(row));
  for (const auto& line : misses) lines.push_back(miss_json(line));
  json body{{"since_unix_ms", since}, {"grades", std::move(rows)}, {"misses", std::move(lines)}};
  co_return body;
}

void GradeDesk::add_tenant_routes(base::HttpServer& server) {
  const auto handler = [](std::shared_ptr<GradeDesk> self, base::Request& in,
                          base::Responder& out) -> awaitable<void> {
    const admit::KeyInfo* const found = co_await relay::authenticate(self->w_.relay, in, out);
    if (!found) co_return;
    const admit::KeyInfo key = *found;
    const auto since = asked_since(in);
    if (!since)
      co_return co_await relay::refuse(self->w_.relay, out, relay::Errc::WrongType,
                                       "'since' must be milliseconds since 1970", "since");
    json body = co_await self->report(key.tenant, *since);
    json coming = json::array();
    std::size_t asked = 0;
    for (const auto& offered : self->w_.registry.models(relay::kInfer))
      if (!key.scope.refuses_model(offered.model) && ++asked <= kMostModels)
        for (json& one : self->ahead(offered.model)) coming.push_back(std::move(one));
    body["tenant"] = key.tenant;
    body["ahead"] = std::move(coming);
    std::string text = body.dump(-1, ' ', false, json::error_handler_t::replace);
    co_await out.json(200, std::move(text));
  };
  server.route("GET", "/qanat/v1/grades",
               [self = shared_from_this(), handler](base::Request& in, base::Responder& out) {
                 return handler(self, in, out);
               });
}

void GradeDesk::add_admin_routes(base::HttpServer& server) {
  const auto handler = [](std::shared_ptr<GradeDesk> self, base::Request& in,
                          base::Responder& out) -> awaitable<void> {
    const auto since = asked_since(in);
    if (!since)
      co_return void(co_await out.error(400, "invalid_value", "'since' is milliseconds since 1970"));
    json body = co_await self->report(in.parameter("tenant").value_or(std::string()), *since);
    json coming = json::array();
    std::size_t asked = 0;
    for (const auto& offered : self->w_.registry.models(relay::kInfer))
      if (++asked <= kMostModels)
        for (json& one : self->ahead(offered.model)) coming.push_back(std::move(one));
    body["ahead"] = std::move(coming);
    std::string text = body.dump(-1, ' ', false, json::error_handler_t::replace);
    co_await out.json(200, std::move(text));
  };
  server.route("GET", "/v1/grades",
               [self = shared_from_this(), handler](base::Request& in, base::Responder& out) {
                 return handler(self, in, out);
               });
}

}  // namespace qanat::app
