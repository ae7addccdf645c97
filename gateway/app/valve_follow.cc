#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_message.hh"
#include "base/log.hh"
#include "gateway/app/valve_desk.hh"

// One placeholder's loop: its price, its renewal, what its pool says of it, and the books of its card time.
namespace qanat::app {
namespace asio = boost::asio;
using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr auto kBusy = milliseconds(500);  // a placeholder's renewal while its engines are up
constexpr auto kIdle = seconds(5);         // and while they sleep
constexpr int kTtlS = 30;                  // after which the pool drains what nobody renews
constexpr auto kSaveUse = seconds(2);      // a use that goes on

std::int64_t wall_ms() { return static_cast<std::int64_t>(base::unix_now_ms()); }

}  // namespace

// Pools that trust gateways by their keys lease to nobody else.
std::string ValveDesk::lease_ticket(const Remote& remote) const {
  return w_.sign && !remote.pool_name.empty() ? w_.sign("lease", remote.id, remote.pool_name) : std::string();
}

// The pool's list: what an engine costs and how long it takes to start. False: not yet.
asio::awaitable<bool> ValveDesk::price(Line& line, Remote& remote) {
  const auto answer = co_await ask(remote.is.pool, "GET", "/qanat/v1/placeholders", "");
  if (!answer || answer->status != 200) {
    remote.error = answer ? "status " + std::to_string(answer->status) : answer.error().message();
    co_return false;
  }
  const json list = json::parse(answer->body, nullptr, false);
  if (!list.is_object()) co_return false;
  try {
    remote.pool_name = list.at("pool").get<std::string>();
    remote.card = list.at("card").get<std::string>();
    remote.open = list.value("open", true);
    remote.offer = list.value("offer", std::uint64_t{0});
    for (const json& m : list.at("models")) {
      if (m.at("model") != line.model) continue;
      place::Placeholder p;
      p.id = remote.id;
      p.engines = remote.open ? remote.is.engines : 0;
      p.streams = remote.is.streams;
      remote.cards = m.at("cards_per_engine").get<std::uint32_t>();
      const auto nano = list.at("price").at("card_nano_s").get<std::uint64_t>();
      p.nano_per_s =
          static_cast<std::int64_t>(std::min<std::uint64_t>(nano, 1'000'000'000'000) * remote.cards);
      p.cold = base::Duration(
          static_cast<std::int64_t>(std::clamp(m.at("cold_s").get<double>(), 0.0, 86400.0) * 1e9));
      if (m.at("image").is_string()) remote.image = m.at("image").get<std::string>();
      line.valve.bind(p);
      remote.error.clear();
      co_return true;
    }
    remote.error =
        list.at("leased") == true ? "no " + line.model + " there" : "its engines are not for lease";
  } catch (const json::exception& error) {
    remote.error = error.what();
  }
  co_return false;
}

asio::awaitable<void> ValveDesk::follow(std::shared_ptr<ValveDesk> self, Line& line,
                                        std::shared_ptr<Remote> remote) {
  const std::string target = "/qanat/v1/placeholders/" + base::percent_encode(remote->id);
  // One that is released goes on until its last card is back, so that all of its time is billed.
  while (!self->stopping_ && !(remote->stopping && remote->told == 0 && remote->held == 0)) {
    if (!remote->priced && !remote->stopping) {
      const bool known = co_await self->price(line, *remote);
      remote->priced = known;
    }
    const std::uint32_t awake = line.valve.awake(remote->id);
    json wish{{"owner", self->w_.gateway},
              {"model", line.model},
              {"engines", remote->is.engines},
              {"awake", awake},
              {"ttl_s", kTtlS}};
    std::string body = wish.dump(), ticket = self->lease_ticket(*remote);
    const auto answer =
        co_await self->ask(remote->is.pool, "PUT", target, std::move(body), std::move(ticket));
    if (self->stopping_) co_return;
    if (answer && answer->status == 200) {
      remote->told = awake;
      const bool priced = remote->priced;
      self->heard(line, *remote, answer->body);
      if (priced && !remote->priced && !remote->stopping) continue;  // its offer is another
    } else {
      remote->error = !answer                 ? answer.error().message()
                      : answer->status == 403 ? "it does not trust this gateway's key"
                                              : "status " + std::to_string(answer->status);
      remote->priced = false;
    }
    const bool busy = awake > 0 || remote->held > 0 || !remote->priced;
    const base::Duration wait = busy ? base::Duration(kBusy) : base::Duration(kIdle);
    if (line.valve.awake(remote->id) == awake) co_await pause(remote->timer, wait);
  }
  if (self->stopping_) co_return;  // a restart goes on with what is up
  remote->released = true;
  std::string ticket = self->lease_ticket(*remote);
  auto last = co_await self->ask(remote->is.pool, "DELETE", target, "", std::move(ticket));
  if (last && last->status == 200) self->heard(line, *remote, last->body);
  line.valve.unbind(remote->id);
  std::erase(line.remotes, remote);
  self->gate(line);
  self->w_.registry.pool(remote->pool).gates.erase(line.model);
}

void ValveDesk::heard(Line& line, Remote& remote, std::string_view body) {
  const json j = json::parse(body, nullptr, false);
  const base::Time now = base::monotonic_now();
  try {
    remote.held = j.at("held").get<std::uint32_t>();
    remote.serving = j.at("serving").get<std::uint32_t>();
    const auto ready =
        milliseconds(std::clamp<std::int64_t>(j.at("ready_in_ms").get<std::int64_t>(), 0, 86'400'000));
    remote.ready = now + ready;
    remote.opens_unix_ms = j.value("opens_unix_ms", std::int64_t{0});
    // Its owner's offer is another: priced anew, and while it is shut what it would carry is sought elsewhere.
    if (j.value("offer", remote.offer) != remote.offer || j.value("open", true) != remote.open)
      remote.priced = false;
    // Without the pool's name nobody could be owed it: the next answer has it all.
    if (remote.pool_name.empty()) remote.pool_name = j.value("pool", "");
    if (!remote.pool_name.empty())
      book(line, remote, j.at("epoch").get<std::int64_t>(), j.at("card_ms").get<std::int64_t>(),
           j.at("charged_nano").get<std::int64_t>());
    remote.error.clear();
  } catch (const json::exception& error) {
    remote.error = error.what();
    return;
  }
  place::PlaceholderTold told;
  told.held = remote.held;
  told.serving = remote.serving;
  told.charged = remote.charged;
  line.valve.on_told(remote.id, told, now);
  settle(line);
}

// Takes what is new of the pool's own counts into the line of this use. A use begins with the first held card and ends with
// the last; it is kept every two seconds, and a restart goes on from the mark.
void ValveDesk::book(Line& line, Remote& remote, std::int64_t epoch, std::int64_t card_ms,
                     std::int64_t charged) {
  if (remote.mark.epoch != epoch) remote.mark = {epoch, 0, 0};
  const std::int64_t more_ms = std::max<std::int64_t>(card_ms - remote.mark.card_ms, 0);
  const std::int64_t more = std::max<std::int64_t>(charged - remote.mark.charged_nano, 0);
  remote.mark = {epoch, card_ms, charged};
  remote.charged += more;
  remote.card_ms += more_ms;
  const base::Time now = base::monotonic_now();
  if (!remote.use && (remote.held > 0 || more > 0 || more_ms > 0)) {
    ValveUse use;
    use.placeholder = remote.id;
    use.model = line.model;
    use.pool = remote.pool_name;
    use.began_unix_ms = wall_ms();
    remote.use = std::move(use);
    remote.use_saved = {};
  }
  if (!remote.use) {
    remote.booked = remote.mark;
    return;
  }
  remote.use->card_ms += more_ms;
  remote.use->charged_nano += more;
  const bool over = remote.held == 0;
  if (over) remote.use->ended_unix_ms = wall_ms();
  if (!over && now - remote.use_saved < kSaveUse) return;
  remote.use_saved = now;
  remote.booked = remote.mark;
  // The use and the mark that it counts to become durable together.
  const auto work = [gateway = w_.gateway, use = *remote.use, model = line.model, k = kept(line), now,
                     wall = wall_ms()](meter::Ledger& l) {
    ValveStore store(l.store(), gateway);
    store.put(use, model, k, now, wall);
    return true;
  };
  if (over) remote.use.reset();
  asio::co_spawn(
      w_.io,
      [](std::shared_ptr<ValveDesk> self, auto job) -> asio::awaitable<void> {
        co_await self->w_.ledger.query(job);
      }(shared_from_this(), work),
      [](std::exception_ptr error) {
        static base::LogGate gate(seconds{10});
        if (error)
          base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error,
                          "card time was not kept; it will be with the next");
      });
}

}  // namespace qanat::app
