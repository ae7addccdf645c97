// The routes of ExpressService: what is asked is quoted, held in the payer's budgets, judged by the artefact's contract and
// kept before it is answered.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <nlohmann/json.hpp>

#include "gateway/jobs/express/running.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

// Of a link, what may be promised: the rest is for what the fluid leaves out (requests, retries, a chunk's end).
constexpr double kPromised = 0.9;

}  // namespace

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
    t->payer = caller;
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
    t->quoted = static_cast<std::int64_t>(offer.price);
    self->running_[t->id] = t;
    if (auto lack = co_await desk.hold(caller, t->quoted)) {
      self->running_.erase(t->id);
      co_return co_await refuse(out, std::move(*lack));
    }
    const auto allowed = co_await desk.use(*file, caller, *pool, "transfer", t->id);
    if (!allowed) {
      self->running_.erase(t->id);
      desk.settle(caller, t->quoted, 0);
      co_return co_await refuse(out, errc_of(allowed.error()));
    }
    co_await self->keep(t);
    self->retime();
    asio::co_spawn(desk.io, self->carry(self, t), asio::detached);
    co_await out.json(201, t->to_json(self->config_.tariff).dump());
  }
};

void ExpressService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "POST", "/qanat/v1/transfers", self, Routes::create);
  const auto now = [self](const std::string& id, const std::string& tenant) {
    const auto found = self->running_.find(id);
    return found == self->running_.end() || found->second->payer.tenant != tenant
               ? ordered_json()
               : found->second->to_json(self->config_.tariff);
  };
  add_kept_routes(server, "/qanat/v1/transfers", {desk_, "transfer", now},
                  [self](const std::string& id) { self->cancel(id); });
}

}  // namespace qanat::jobs
