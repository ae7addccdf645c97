#include "gateway/jobs/express/fan_out.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "gateway/jobs/rest.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;

namespace {

constexpr base::Duration kTurn = std::chrono::milliseconds{100}, kAfterLoss = std::chrono::seconds{1};
constexpr int kStill = 300;  // turns without a byte: the copy is lost

Spread plan(Holder home, const std::vector<FanOut::Target>& targets) {
  std::vector<Holder> holders;
  std::vector<bool> there;
  for (const FanOut::Target& t : targets) {
    holders.push_back({t.pool.id, t.pool.site, t.pool.location});
    there.push_back(t.missing == 0);
  }
  return Spread(std::move(home), std::move(holders), there);
}

}  // namespace

FanOut::FanOut(Desk& desk, Holder home, Digest artefact, std::vector<Target> targets)
    : desk_(desk),
      artefact_(artefact),
      targets_(std::move(targets)),
      spread_(plan(std::move(home), targets_)) {}

awaitable<bool> FanOut::from_home(Spread::Leg leg) {
  auto steering = std::make_shared<Steering>();
  steering->moved = [self = shared_from_this(), leg, s = steering.get()](std::uint64_t bytes) {
    std::uint64_t& missing = self->targets_[leg.target].missing;
    missing -= std::min(bytes, missing);
    if (self->stopped_) s->stop = true;
  };
  const PoolSite& pool = targets_[leg.target].pool;
  const Place to{pool.origin, pool.id};
  const auto pushed = co_await desk_.mover.push(to, artefact_, ids::Tier::Bulk, steering);
  co_return pushed.has_value();
}

// The pool fetches for itself, with our word to the one that has it; we look on.
awaitable<bool> FanOut::from_pool(Spread::Leg leg) {
  Target& target = targets_[leg.target];
  const PoolSite& from = targets_[leg.source].pool;
  const std::string name = to_string(artefact_), path = "/qanat/v1/store/" + name;
  const json wish{{"origin", from.origin}, {"ticket", desk_.mover.ticket("get", name, from.id)}};
  base::ClientRequest ask;
  ask.method = "POST";
  ask.target = path + "/fetch";
  ask.body = wish.dump();
  const Place at{target.pool.origin, target.pool.id};
  const auto begun = co_await desk_.mover.ask(at, std::move(ask), "put", name);
  if (!begun || begun->status != 202) co_return false;
  for (int still = 0; still < kStill && !desk_.stopping && !stopped_; ++still) {
    co_await rest(desk_.io, kTurn);
    base::ClientRequest look;
    look.method = "GET";
    look.target = path + "/missing";
    const auto said = co_await desk_.mover.ask(at, std::move(look), "get", name);
    if (!said) co_return false;
    if (said->status == 404) continue;  // it has not begun
    const json body = json::parse(said->body, nullptr, false);
    if (said->status != 200 || !body.is_object()) co_return false;
    const std::uint64_t missing = body.value("missing_bytes", target.missing);
    if (missing < target.missing) still = 0;
    target.missing = missing;
    if (missing == 0) co_return true;
    if (!body.value("fetching", false)) co_return false;
  }
  co_return false;
}

awaitable<void> FanOut::carry(std::shared_ptr<FanOut>, Spread::Leg leg, unsigned tries) {
  bool arrived = false;
  if (leg.source == Spread::kHome)
    arrived = co_await from_home(leg);
  else
    arrived = co_await from_pool(leg);
  if (desk_.stopping || stopped_) co_return;
  if (arrived) {
    targets_[leg.target].missing = 0;
    spread_.on_there(leg.target);
    if (there) co_await there(leg.target);
    co_return;
  }
  spread_.on_lost(leg.target);
  if (spread_.targets()[leg.target].lost >= tries) co_return;
  co_await rest(desk_.io, kAfterLoss);
  spread_.again(leg.target);
}

awaitable<void> FanOut::run(unsigned tries) {
  const auto self = shared_from_this();
  while (!desk_.stopping && !stopped_ && !spread_.done(tries)) {
    while (const auto leg = spread_.poll_leg())
      asio::co_spawn(desk_.io, carry(self, *leg, tries),
                     [self, target = leg->target](std::exception_ptr error) {
                       if (error) self->spread_.on_lost(target), self->spread_.again(target);
                     });
    co_await rest(desk_.io, kTurn);
  }
  there = nullptr;
}

}  // namespace qanat::jobs
