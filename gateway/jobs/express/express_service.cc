#include "gateway/jobs/express/express_service.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/log.hh"
#include "gateway/jobs/express/running.hh"
#include "gateway/jobs/rest.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr base::Duration kTick = std::chrono::milliseconds{200}, kAgain = std::chrono::milliseconds{400};

}  // namespace

ExpressService::ExpressService(Desk& desk, ExpressConfig config) : desk_(desk), config_(std::move(config)) {}

std::vector<Link> ExpressService::links(double share) const {
  std::vector<Link> links;
  for (const auto& shared : config_.links)
    links.push_back({shared.link.name, shared.link.bytes_per_s * share});
  if (links.empty()) links.push_back({"network", 125e6 * share});  // nothing is said: a gigabit
  return links;
}

std::vector<std::size_t> ExpressService::links_to(const PoolSite& pool) const {
  std::vector<std::size_t> list;
  for (std::size_t i = 0; i < config_.links.size(); ++i) {
    const auto& sites = config_.links[i].sites;
    if (sites.empty() || std::find(sites.begin(), sites.end(), pool.id) != sites.end() ||
        std::find(sites.begin(), sites.end(), pool.site) != sites.end())
      list.push_back(i);
  }
  if (config_.links.empty()) list.push_back(0);
  return list;
}

std::vector<Transfer> ExpressService::transfers() const {
  std::vector<Transfer> list;
  for (const auto& [id, t] : running_) list.push_back({id, t->left(), t->links, t->by_ms});
  return list;
}

void ExpressService::retime() {
  const std::int64_t now = unix_ms();
  const auto courses = timetable(links(1), config_.tariff, transfers(), now);
  std::size_t i = 0;
  for (auto& [id, t] : running_) {
    t->steering->bytes_per_s = t->left() == 0 ? 1e12 : courses[i].pace(now);
    t->predicted_ms = courses[i++].finish_ms;
  }
}

awaitable<void> ExpressService::tick(std::shared_ptr<ExpressService>) {
  while (!desk_.stopping) {
    if (!running_.empty()) retime();
    co_await rest(desk_.io, kTick);
  }
}

awaitable<void> ExpressService::keep(RunningPtr t) {
  Document kept = t->document(t->to_json(config_.tariff));
  co_await desk_.save("transfer", std::move(kept));
}

// Until it is there: what is missing is asked for anew after every interruption.
awaitable<void> ExpressService::carry(std::shared_ptr<ExpressService>, RunningPtr t) {
  t->steering->moved = [this, t = t.get()](std::uint64_t bytes) {
    (config_.tariff.is_off_peak(unix_ms()) ? t->off_peak : t->peak) += bytes;
    if (const auto found = running_.find(t->id); found != running_.end())
      asio::co_spawn(desk_.io, keep(found->second), asio::detached);
    retime();
  };
  if (ask_network && t->by_ms)
    ask_network(t->id, t->pool.node, t->left(), static_cast<double>(*t->by_ms - unix_ms()) / 1000);
  while (!desk_.stopping && !t->over()) {
    const Place to{t->pool.origin, t->pool.id};
    const auto done = co_await desk_.mover.push(to, t->artefact, t->tier(), t->steering);
    if (desk_.stopping) co_return;
    if (done) {
      t->state = "done";
    } else if (t->steering->stop) {
      t->state = "cancelled";
    } else if (done.error().category() == category() && errc_of(done.error()) != Errc::NoRoute) {
      t->state = "failed";
      t->error = done.error().message();
    } else {
      t->error = done.error().message();
      t->to_move = std::max(t->to_move, t->moved() + t->left());
      co_await rest(desk_.io, kAgain);
    }
  }
  if (!t->over()) co_return;
  if (t->state == "done") t->error.clear();
  t->finished_ms = unix_ms();
  t->steering->moved = nullptr;
  running_.erase(t->id);
  if (ask_network && t->by_ms) ask_network(t->id, t->pool.node, 0, 0);
  retime();
  // First the bill, which knows its line: after a crash between the two it is written again, and counts once.
  meter::ServiceLine line;
  line.id = t->id;
  line.kind = "transfer";
  line.subject = to_string(t->artefact);
  line.supplier = "network:" + t->pool.site;
  line.quantity = t->moved();
  line.unit = "bytes";
  line.amount_nano = t->price(config_.tariff);
  line.unix_ms = t->finished_ms;
  desk_.settle(t->payer, t->quoted - line.amount_nano, 0);
  if (line.quantity != 0) co_await desk_.bill(t->payer, std::move(line));
  co_await keep(t);
}

awaitable<void> ExpressService::take_up(std::shared_ptr<ExpressService> self) {
  for (const Document& d : co_await desk_.list("transfer", "")) {
    auto t = std::make_shared<Running>();
    const ordered_json j = t->restore(d);
    if (!j.is_object() || j.value("state", "") != "moving") continue;
    t->dataset = j.value("dataset", "");
    t->artefact = parse_digest(j.value("artefact", "")).value_or(Digest{});
    if (j["by_unix_ms"].is_number()) t->by_ms = j["by_unix_ms"].get<std::int64_t>();
    t->size = j.value("bytes", 0ULL);
    t->to_move = j.value("bytes_to_move", 0ULL);
    t->off_peak = j.value("bytes_off_peak", 0ULL);
    t->peak = j.value("bytes_moved", 0ULL) - t->off_peak;
    t->quoted = j.value("quoted_nano", static_cast<std::int64_t>(config_.tariff.price(t->to_move, 0)));
    // It was let in: what it may cost is held again, whatever else has been let in since.
    if (co_await desk_.hold(t->payer, t->quoted)) desk_.settle(t->payer, -meter::Nano{t->quoted}, 0);
    if (const auto pool = co_await desk_.await_pool(j.value("site", ""))) t->pool = *pool;
    t->links = links_to(t->pool);
    t->steering->bytes_per_s = 0;  // until the timetable has been asked
    running_[t->id] = t;
    retime();
    base::log_info("transfer {} to {} goes on: {} of {} bytes were there", t->id, t->pool.id, t->moved(),
                   t->to_move);
    asio::co_spawn(desk_.io, carry(self, t), asio::detached);
  }
}

void ExpressService::start() {
  asio::co_spawn(desk_.io, take_up(shared_from_this()), asio::detached);
  asio::co_spawn(desk_.io, tick(shared_from_this()), asio::detached);
}

void ExpressService::stop() {
  for (auto& [id, t] : running_) t->steering->stop = true;
}

std::vector<Task> ExpressService::tasks() const {
  std::vector<Task> list;
  for (const auto& [id, t] : running_)
    list.push_back({id, t->payer.tenant, "transfer", t->state, t->pool.id, t->moved(), t->to_move, "bytes"});
  return list;
}

bool ExpressService::cancel(const std::string& id) {
  const auto found = running_.find(id);
  if (found == running_.end()) return false;
  found->second->steering->stop = true;
  return true;
}

}  // namespace qanat::jobs
