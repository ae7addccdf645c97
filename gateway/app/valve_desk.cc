#include "gateway/app/valve_desk.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_message.hh"
#include "base/log.hh"
#include "gateway/jobs/artefact/ticket.hh"

namespace qanat::app {
namespace asio = boost::asio;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr auto kCount = milliseconds(250);  // how often demand is looked at
constexpr auto kSaveHistory = std::chrono::minutes(5);

std::int64_t unix_ms() { return static_cast<std::int64_t>(base::unix_now_ms()); }

base::HttpClientOptions quick() {
  base::HttpClientOptions o;
  o.connect_timeout = seconds{1};
  o.read_timeout = seconds{2};
  o.idle_per_origin = 2;
  o.body_bytes = 1 << 20;
  return o;
}

// The instant of the monotonic clock at which the present period (a day: since midnight, UTC) began.
base::Time origin(base::Duration period, base::Time now) {
  const base::Duration wall = milliseconds(unix_ms());
  return period.count() > 0 ? now - wall % period : now;
}

}  // namespace

asio::awaitable<void> ValveDesk::pause(asio::steady_timer& timer, base::Duration duration) {
  timer.expires_after(duration);
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

ValveDesk::ValveDesk(Wiring wiring, const std::vector<ValveConfig>& valves,
                     std::map<std::string, KeptValve> kept, std::map<std::string, std::string> dispatches)
    : w_(std::move(wiring)),
      client_(w_.io, quick()),
      timer_(w_.io),
      kept_(std::move(kept)),
      dispatches_(std::move(dispatches)) {
  for (const ValveConfig& v : valves) {
    Line& line = line_for(v.model, v.settings);
    line.dispatched = false;
    for (const ValveRemote& remote : v.remotes) {
      place::Placeholder placeholder;
      placeholder.engines = remote.engines;
      placeholder.streams = remote.streams;
      bind(line, remote, placeholder);
    }
  }
  for (const auto& [id, text] : dispatches_) {
    const json dispatch = json::parse(text);
    place::ValveSettings settings;
    settings.mode = place::parse_valve_mode(dispatch.at("mode").get<std::string>()).value_or(settings.mode);
    Line& line = line_for(dispatch.at("model").get<std::string>(), settings);
    for (const json& p : dispatch.at("placeholders")) {
      ValveRemote remote;
      p.at("pool").get_to(remote.pool);
      bool known = false;
      for (std::size_t i = 0; i < w_.registry.size(); ++i)
        known |= w_.registry.pool(i).config.url == remote.pool;
      if (!known) {
        base::log_warn("{}: no pool at {} any more; its placeholder is not renewed", id, remote.pool);
        continue;
      }
      p.at("engines").get_to(remote.engines);
      p.at("streams").get_to(remote.streams);
      place::Placeholder placeholder;
      placeholder.engines = remote.engines;
      placeholder.streams = remote.streams;
      bind(line, remote, placeholder);
    }
  }
  w_.metrics.before_text([this] {
    for (const auto& line : lines_) {
      std::uint32_t awake = 0, held = 0;
      for (const auto& b : line->valve.placeholders()) {
        awake += b.awake;
        held += b.told.held;
      }
      const base::Labels labels{{"model", line->model}};
      const auto gauge = [&](const char* name, const char* help, double value) {
        w_.metrics.gauge(name, help, labels).set(value);
      };
      gauge("qanat_gateway_valve_state", "0 shut, 1 pending, 2 opening, 3 open, 4 closing",
            static_cast<double>(line->valve.state()));
      gauge("qanat_gateway_valve_demand", "Calls that want the model now", line->valve.demand());
      gauge("qanat_gateway_valve_expected", "Calls expected until a cold engine would be up",
            line->valve.expected());
      gauge("qanat_gateway_valve_engines_awake", "Remote engines that should be up", awake);
      gauge("qanat_gateway_valve_engines_held", "Remote engines that hold cards", held);
      gauge("qanat_gateway_valve_spent_nano", "Spent on remote cards in this period",
            static_cast<double>(line->valve.spent()));
    }
  });
}

ValveDesk::Line* ValveDesk::find(std::string_view model) {
  for (const auto& line : lines_)
    if (base::equal_ignoring_case(line->model, model)) return line.get();
  return nullptr;
}

ValveDesk::Line& ValveDesk::line_for(const std::string& model, const place::ValveSettings& settings) {
  if (Line* known = find(model)) return *known;
  const base::Time now = base::monotonic_now();
  place::HistoryShape shape;
  shape.period = settings.period;
  shape.slot =
      std::max<base::Duration>(std::min<base::Duration>(shape.slot, settings.period / 96), seconds(1));
  if (shape.slot > shape.period) shape.slot = shape.period;
  lines_.push_back(
      std::make_unique<Line>(model, place::Valve(settings, {}, shape, origin(settings.period, now))));
  w_.relay.wanted.try_emplace(model);
  Line& line = *lines_.back();
  line.dispatched = true;
  if (const auto kept = kept_.find(model); kept != kept_.end())
    line.valve.history().restore(kept->second.usual);
  return line;
}

ValveDesk::Remote& ValveDesk::bind(Line& line, const ValveRemote& is, const place::Placeholder& placeholder) {
  std::size_t pool = 0;
  for (std::size_t i = 0; i < w_.registry.size(); ++i)
    if (w_.registry.pool(i).config.url == is.pool) pool = i;
  const std::string id = std::to_string(pool) + "." + w_.gateway + "." + line.model;
  place::Placeholder bound = placeholder;
  bound.id = id;
  line.valve.bind(bound);
  for (const auto& known : line.remotes)
    if (known->id == id) {
      known->is = is;
      known->timer.cancel();
      return *known;
    }
  auto remote = std::make_shared<Remote>(w_.io);
  remote->is = is;
  remote->id = id;
  remote->pool = pool;
  // What was acknowledged before a restart: the valve's state once all of it is bound.
  if (const auto kept = kept_.find(line.model); kept != kept_.end()) {
    if (const auto mark = kept->second.marks.find(id); mark != kept->second.marks.end())
      remote->mark = remote->booked = mark->second;
    line.valve.restore(kept->second.valve);
    line.saved = line.valve.keep();
  }
  line.remotes.push_back(remote);
  gate(line);
  if (started_) asio::co_spawn(w_.io, follow(shared_from_this(), line, remote), asio::detached);
  return *remote;
}

void ValveDesk::release(Line& line, const std::string& id) {
  for (const auto& remote : line.remotes)
    if (remote->id == id) {
      place::Placeholder none;
      none.id = id;
      none.engines = 0;
      line.valve.bind(none);
      remote->stopping = true;
      remote->timer.cancel();
    }
}

void ValveDesk::start() {
  started_ = true;
  kept_.clear();  // what is bound from now on begins anew
  for (const auto& line : lines_)
    for (const auto& remote : line->remotes)
      asio::co_spawn(w_.io, follow(shared_from_this(), *line, remote), asio::detached);
  asio::co_spawn(w_.io, count(shared_from_this()), asio::detached);
}

void ValveDesk::stop() {
  stopping_ = true;
  timer_.cancel();
  for (const auto& line : lines_)
    for (const auto& remote : line->remotes) remote->timer.cancel();
}

asio::awaitable<base::Result<base::ClientResponse>> ValveDesk::ask(std::string origin, std::string method,
                                                                   std::string target, std::string body,
                                                                   std::string ticket) {
  base::ClientRequest request;
  if (!ticket.empty()) request.headers.add(std::string(jobs::kTicketHeader), std::move(ticket));
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = std::move(body);
  auto answer = co_await client_.fetch(std::move(origin), std::move(request));
  co_return answer;
}

// Where calls may go: at once, before any pool has been told.
void ValveDesk::gate(Line& line) {
  const bool out = line.valve.lets_out();
  for (std::size_t i = 0; i < w_.registry.size(); ++i) {
    resolve::Pool& pool = w_.registry.pool(i);
    const auto remote = std::find_if(line.remotes.begin(), line.remotes.end(),
                                     [&](const auto& r) { return r->pool == i && !r->released; });
    if (remote == line.remotes.end()) {
      if (out || w_.registry.local(pool))
        pool.gates.erase(line.model);
      else
        pool.gates[line.model] = {resolve::Gate::State::Shut, {}, {}};
      continue;
    }
    resolve::Gate g;
    for (const auto& bound : line.valve.placeholders())
      if (bound.is.id == (*remote)->id) {
        g.cold = bound.is.cold;
        g.ready = (*remote)->ready;
        if (bound.awake > 0 && !(*remote)->stopping)
          g.state = resolve::Gate::State::Awake;
        else if (out && !line.valve.budget_reached())
          g.state = resolve::Gate::State::Asleep;
      }
    if (!(*remote)->open) g.state = resolve::Gate::State::Shut;
    pool.gates[line.model] = g;
  }
}

void ValveDesk::settle(Line& line) {
  gate(line);
  for (const auto& remote : line.remotes)
    if (line.valve.awake(remote->id) != remote->told) remote->timer.cancel();
}

asio::awaitable<void> ValveDesk::count(std::shared_ptr<ValveDesk> self) {
  while (!self->stopping_) {
    const base::Time now = base::monotonic_now();
    const bool history = now - self->history_saved_ >= kSaveHistory;
    if (history) self->history_saved_ = now;
    for (const auto& line : self->lines_) {
      relay::Relay::Wanted& wanted = self->w_.relay.wanted[line->model];
      line->valve.on_demand(std::exchange(wanted.most, wanted.now), now,
                            std::exchange(wanted.stranded, false));
      while (const auto event = line->valve.poll_event())
        base::log_info("valve of {}: {}{}", line->model, place::to_string(event->kind),
                       event->plan ? " " + std::to_string(event->plan) : "");
      self->settle(*line);
      // What is spent becomes durable with the uses that it was spent on.
      place::Valve::Kept is = line->valve.keep();
      is.spent = line->saved.spent;
      if (history || !(is == line->saved)) self->save_later(*line);
    }
    co_await pause(self->timer_, kCount);
  }
}

KeptValve ValveDesk::kept(const Line& line) const {
  KeptValve k;
  k.valve = line.valve.keep();
  k.usual = line.valve.history().usual();
  for (const auto& remote : line.remotes) k.marks[remote->id] = remote->booked;
  return k;
}

asio::awaitable<void> ValveDesk::save(Line& line) {
  KeptValve k = kept(line);
  line.saved = k.valve;
  const auto work = [gateway = w_.gateway, model = line.model, k, now = base::monotonic_now(),
                     wall = unix_ms()](meter::Ledger& l) {
    ValveStore(l.store(), gateway).put(model, k, now, wall);
    return true;
  };
  co_await w_.ledger.query(work);
}

// Of what nobody waits for; an answer that cannot be kept now is tried again at the next change.
void ValveDesk::save_later(Line& line) {
  asio::co_spawn(w_.io, save(line), [self = shared_from_this()](std::exception_ptr error) {
    static base::LogGate gate(seconds{10});
    if (!error) return;
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error, "a valve's state was not kept: {}",
                      e.what());
    }
  });
}

}  // namespace qanat::app
