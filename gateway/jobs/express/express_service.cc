#include "gateway/jobs/express/express_service.hh"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/log.hh"
#include "gateway/jobs/rest.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

// Of a link, what may be promised: the rest is for what the fluid leaves out (requests, retries, a chunk's end).
constexpr double kPromised = 0.9;
constexpr base::Duration kTick = std::chrono::milliseconds{200}, kAgain = std::chrono::milliseconds{400};

}  // namespace

// One transfer that is under way; its JSON is what the book keeps.
struct ExpressService::Running {
  std::string id, tenant, project, dataset, state = "moving", error;
  Digest artefact;
  PoolSite pool;
  std::optional<std::int64_t> by_ms;
  std::int64_t created_ms = 0, finished_ms = 0, predicted_ms = kNever;
  std::uint64_t size = 0, to_move = 0, peak = 0, off_peak = 0;  // bytes; the last two: moved
  std::vector<std::size_t> links;
  std::shared_ptr<Steering> steering = std::make_shared<Steering>();

  std::uint64_t moved() const { return peak + off_peak; }
  std::uint64_t left() const { return to_move > moved() ? to_move - moved() : 0; }
  ids::Tier tier() const { return by_ms ? ids::Tier::Bulk : ids::Tier::Scavenger; }
  bool over() const { return state != "moving"; }

  ordered_json to_json(const Tariff& tariff) const {
    ordered_json j;
    j["id"] = id;
    j["object"] = "transfer";
    j["dataset"] = dataset;
    j["artefact"] = to_string(artefact);
    j["site"] = pool.id;
    j["state"] = state;
    j["tier"] = ids::to_string(tier());
    j["by_unix_ms"] = by_ms ? ordered_json(*by_ms) : ordered_json();
    j["created_unix_ms"] = created_ms;
    j["finished_unix_ms"] = finished_ms ? ordered_json(finished_ms) : ordered_json();
    j["predicted_unix_ms"] = over() || predicted_ms == kNever ? ordered_json() : ordered_json(predicted_ms);
    j["in_time"] = !by_ms || (finished_ms ? finished_ms : predicted_ms) <= *by_ms;
    j["bytes"] = size;
    j["bytes_to_move"] = to_move;
    j["bytes_moved"] = moved();
    j["bytes_off_peak"] = off_peak;
    j["bytes_s"] = over() ? 0 : static_cast<std::uint64_t>(steering->bytes_per_s);
    j["price_nano"] = static_cast<std::int64_t>(tariff.price(peak, off_peak));
    j["error"] = error.empty() ? ordered_json() : ordered_json(error);
    return j;
  }
};

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
  Document d;
  d.id = t->id;
  d.tenant = t->tenant;
  d.created_unix_ms = t->created_ms;
  ordered_json body = t->to_json(config_.tariff);
  body["project"] = t->project;
  d.body = body.dump();
  co_await desk_.save("transfer", std::move(d));
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
  line.tenant = t->tenant;
  line.project = t->project;
  line.kind = "transfer";
  line.subject = to_string(t->artefact);
  line.supplier = "network:" + t->pool.site;
  line.quantity = t->moved();
  line.unit = "bytes";
  line.amount_nano = static_cast<std::int64_t>(config_.tariff.price(t->peak, t->off_peak));
  line.unix_ms = t->finished_ms;
  if (line.quantity != 0) co_await desk_.bill(std::move(line));
  co_await keep(t);
}

awaitable<void> ExpressService::take_up(std::shared_ptr<ExpressService> self) {
  for (const Document& d : co_await desk_.list("transfer", "")) {
    const json j = json::parse(d.body, nullptr, false);
    if (!j.is_object() || j.value("state", "") != "moving") continue;
    auto t = std::make_shared<Running>();
    t->id = d.id;
    t->tenant = d.tenant;
    t->project = j.value("project", "default");
    t->dataset = j.value("dataset", "");
    t->artefact = parse_digest(j.value("artefact", "")).value_or(Digest{});
    t->created_ms = d.created_unix_ms;
    if (j["by_unix_ms"].is_number()) t->by_ms = j["by_unix_ms"].get<std::int64_t>();
    t->size = j.value("bytes", 0ULL);
    t->to_move = j.value("bytes_to_move", 0ULL);
    t->off_peak = j.value("bytes_off_peak", 0ULL);
    t->peak = j.value("bytes_moved", 0ULL) - t->off_peak;
    // The pool may not have been heard of yet.
    for (int i = 0; i < 100 && !desk_.stopping; ++i) {
      const auto pool = desk_.find_pool(j.value("site", ""));
      if (pool) {
        t->pool = *pool;
        break;
      }
      co_await rest(desk_.io, kTick);
    }
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

struct ExpressService::Routes {
  using Self = std::shared_ptr<ExpressService>;

  static awaitable<void> create(Self self, Caller caller, base::Request& in, base::Responder& out) {
    Desk& desk = self->desk_;
    const json asked = json::parse(in.body, nullptr, false);
    const auto text = [&](const char* key) {
      return asked.is_object() && asked.contains(key) && asked[key].is_string()
                 ? asked[key].get<std::string>()
                 : "";
    };
    auto t = std::make_shared<Running>();
    t->dataset = text("dataset");
    if (t->dataset.empty() || text("site").empty())
      co_return void(
          co_await out.error(400, "missing_required_parameter", "'dataset' and 'site' are required",
                             R"({"dataset":"wards-2025","site":"far1","by_unix_ms":1790000000000})"));
    if (asked.contains("by_unix_ms") && !asked["by_unix_ms"].is_null()) {
      if (!asked["by_unix_ms"].is_number_unsigned())
        co_return void(co_await out.error(400, "invalid_value", "'by_unix_ms' is Unix milliseconds"));
      t->by_ms = asked["by_unix_ms"].get<std::int64_t>();
    }
    const auto file = co_await desk.find_file(t->dataset, caller.tenant);
    if (!file) co_return co_await refuse(out, Errc::NoSuchArtefact, "no data set '" + t->dataset + "'");
    const auto pool = desk.find_pool(text("site"));
    if (!pool) co_return co_await refuse(out, Errc::NoRoute, "no pool or site '" + text("site") + "'");
    t->id = fresh_id("transfer-");
    t->tenant = caller.tenant;
    t->project = caller.project;
    t->artefact = file->artefact;
    t->pool = *pool;
    t->size = file->bytes;
    t->links = self->links_to(*pool);
    const Place to{pool->origin, pool->id};
    const auto missing = co_await desk.mover.survey(to, t->artefact);
    if (!missing) co_return co_await refuse(out, errc_of(missing.error()), missing.error().message());
    t->to_move = *missing;
    t->created_ms = unix_ms();
    // From the quote to its place among the others nothing waits: two at once cannot be promised the same bytes.
    const Transfer wanted{t->id, t->to_move, t->links, t->by_ms};
    const Offer offer =
        quote(self->links(kPromised), self->config_.tariff, self->transfers(), wanted, t->created_ms);
    if (!offer.accepted) {
      ordered_json body;
      body["error"] = {{"code", code(Errc::DeadlineTooEarly)},
                       {"message", "it cannot be there by then"},
                       {"type", "invalid_request_error"},
                       {"param", "by_unix_ms"},
                       {"hint", "earliest_unix_ms is the earliest deadline that would be taken now"}};
      body["earliest_unix_ms"] =
          offer.earliest_ms == kNever ? ordered_json() : ordered_json(offer.earliest_ms);
      body["finish_unix_ms"] = offer.finish_ms == kNever ? ordered_json() : ordered_json(offer.finish_ms);
      co_return void(co_await out.json(409, body.dump()));
    }
    t->predicted_ms = offer.finish_ms;
    t->steering->bytes_per_s = 0;
    self->running_[t->id] = t;
    const auto allowed = co_await desk.use(*file, caller, *pool, "transfer", t->id);
    if (!allowed) {
      self->running_.erase(t->id);
      co_return co_await refuse(out, errc_of(allowed.error()));
    }
    co_await self->keep(t);
    self->retime();
    asio::co_spawn(desk.io, self->carry(self, t), asio::detached);
    ordered_json body = t->to_json(self->config_.tariff);
    body["quoted_nano"] = static_cast<std::int64_t>(offer.price);
    co_await out.json(201, body.dump());
  }

  static awaitable<std::string> one(Self self, Caller caller, std::string id) {
    const auto found = self->running_.find(id);
    if (found != self->running_.end())
      co_return found->second->tenant == caller.tenant ? found->second->to_json(self->config_.tariff).dump()
                                                       : "";
    const auto d = co_await self->desk_.load("transfer", id);
    co_return d && d->tenant == caller.tenant ? d->body : std::string();
  }

  static awaitable<void> get(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string body = co_await one(self, caller, std::string(in.capture("id")));
    if (body.empty()) co_return void(co_await out.error(404, "not_found", "no such transfer"));
    co_await out.json(200, body);
  }

  static awaitable<void> list(Self self, Caller caller, base::Request&, base::Responder& out) {
    ordered_json list = ordered_json::array();
    for (const Document& d : co_await self->desk_.list("transfer", caller.tenant)) {
      const auto found = self->running_.find(d.id);
      list.push_back(found != self->running_.end() ? found->second->to_json(self->config_.tariff)
                                                   : ordered_json::parse(d.body, nullptr, false));
    }
    co_await out.json(200, list.dump());
  }

  static awaitable<void> cancel(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto found = self->running_.find(std::string(in.capture("id")));
    if (found == self->running_.end() || found->second->tenant != caller.tenant)
      co_return void(co_await out.error(404, "not_found", "no such transfer is under way"));
    const RunningPtr t = found->second;
    t->steering->stop = true;
    co_await out.json(200, t->to_json(self->config_.tariff).dump());
  }
};

void ExpressService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "POST", "/qanat/v1/transfers", self, Routes::create);
  route(server, desk_, "GET", "/qanat/v1/transfers", self, Routes::list);
  route(server, desk_, "GET", "/qanat/v1/transfers/{id}", self, Routes::get);
  route(server, desk_, "DELETE", "/qanat/v1/transfers/{id}", self, Routes::cancel);
}

}  // namespace qanat::jobs
