#include "gateway/pool/serve/placeholder_desk.hh"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "gateway/jobs/artefact/site_store.hh"
#include "gateway/pool/plan/image_map.hh"

namespace qanat::pool {
namespace {

using boost::asio::awaitable;
using nlohmann::ordered_json;

// A life turns at its own timer; what it holds is looked at as often as this, and at every request.
constexpr auto kLook = std::chrono::milliseconds(100);
constexpr std::int64_t kMaxTtlS = 24 * 3600;
constexpr const char* kExample = R"({"owner":"city","model":"…","engines":2,"awake":1,"ttl_s":60})";

double seconds_of(base::Duration d) { return std::chrono::duration<double>(d).count(); }

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= 127 &&
         std::all_of(name.begin(), name.end(), [](char c) { return c > ' ' && c < 0x7f && c != '/'; });
}

bool holds_cards(Phase phase) {
  return phase == Phase::Loading || phase == Phase::Warming || phase == Phase::Serving ||
         phase == Phase::Draining;
}

}  // namespace

PlaceholderDesk::PlaceholderDesk(boost::asio::io_context& io, const PoolConfig& config, PoolModels& models,
                                 const OfferDesk& offers, LeaseBook& leases, const jobs::SiteStore* site,
                                 base::MetricsRegistry& metrics)
    : config_(config),
      models_(models),
      offers_(offers),
      leases_(leases),
      site_(site),
      refused_(
          metrics.counter("qanat_pool_leases_refused_total",
                          "Placeholders asked for without a trusted gateway's ticket, or for another's.")),
      book_({offers.offer().price.card, offers.offer().price.placeholder}),
      io_(io),
      timer_(io) {
  if (!config.leased) return;
  for (const auto& one : models.all())
    for (const auto& station : one->stations) {
      book_.add_engine(one->model.name, station->plan().cards);
      station->set_lent(false);
      stations_.push_back(station.get());
    }
  for (const LeaseLine& l : leases.open_lines()) {
    const LeaseCount count{l.epoch, l.card_ns, l.bound_ns, l.charged_nano};
    book_.restore(l.placeholder, l.owner, count);
    kept_[l.placeholder] = count;
  }
  tick();
}

boost::asio::awaitable<void> PlaceholderDesk::keep(PlaceholderStatus s, bool ended) {
  LeaseLine line;
  line.placeholder = s.wish.id;
  line.owner = s.wish.owner;
  line.model = s.wish.model;
  line.epoch = s.count.epoch;
  line.card_ns = s.count.card_ns;
  line.bound_ns = s.count.bound_ns;
  line.charged_nano = s.count.charged_nano;
  line.last_unix_ms = base::unix_now_ms();
  line.ended = ended;
  const auto known = kept_.find(s.wish.id);
  if (!ended && known != kept_.end() && known->second.epoch == line.epoch &&
      known->second.card_ns == line.card_ns && known->second.charged_nano == line.charged_nano)
    co_return;
  co_await leases_.keep(std::move(line));
  if (ended)
    kept_.erase(s.wish.id);
  else
    kept_[s.wish.id] = s.count;
}

void PlaceholderDesk::look() {
  const base::Time now = base::monotonic_now();
  if (offer_ != offers_.offer().version) {
    offer_ = offers_.offer().version;
    book_.set_price({offers_.offer().price.card, offers_.offer().price.placeholder}, now);
  }
  if (book_.open() != offers_.open()) book_.set_open(!book_.open(), now);
  for (std::size_t i = 0; i < stations_.size(); ++i) {
    const Phase phase = stations_[i]->life().phase();
    book_.on_engine(i, holds_cards(phase), phase == Phase::Serving, phase != Phase::Failed, now);
  }
  book_.on_timer(now);
  act();
}

void PlaceholderDesk::act() {
  while (const auto action = book_.poll_action()) {
    Station& station = *stations_[action->engine];
    switch (action->kind) {
      case PlaceholderBook::Action::Kind::Stage: station.stage(); break;
      case PlaceholderBook::Action::Kind::Wake: station.wake(); break;
      case PlaceholderBook::Action::Kind::Drain: station.drain(); break;
    }
  }
  for (std::size_t i = 0; i < stations_.size(); ++i) stations_[i]->set_lent(book_.lent(i));
  while (auto ended = book_.poll_ended())
    boost::asio::co_spawn(io_, keep(std::move(*ended), true), [](std::exception_ptr error) {
      static base::LogGate gate(std::chrono::seconds{10});
      if (error)
        base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error, "a lease's end was not kept");
    });
}

void PlaceholderDesk::tick() {
  look();
  timer_.expires_after(kLook);
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error) tick();
  });
}

ordered_json PlaceholderDesk::to_json(const PlaceholderStatus& s) const {
  base::Duration ready{};
  const base::Time now = base::monotonic_now();
  bool known = false;
  if (s.serving == 0)
    for (const auto& one : models_.all()) {
      if (one->model.name != s.wish.model) continue;
      for (const auto& station : one->stations)
        if (const auto in = station->life().ready_in(now); in && (!known || *in < ready)) {
          known = true;
          ready = *in;
        }
    }
  ordered_json j{{"id", s.wish.id},
                 {"pool", config_.id},
                 {"owner", s.wish.owner},
                 {"model", s.wish.model},
                 {"engines", s.wish.engines},
                 {"awake", s.wish.awake},
                 {"granted", s.granted},
                 {"held", s.held},
                 {"serving", s.serving},
                 {"ready_in_ms", std::chrono::ceil<std::chrono::milliseconds>(ready).count()},
                 {"epoch", s.count.epoch},
                 {"card_ms", s.card_ms},
                 {"bound_ms", s.bound_ms},
                 {"charged_nano", s.charged_nano},
                 {"open", book_.open()},
                 {"offer", offers_.offer().version}};
  if (!book_.open()) j["opens_unix_ms"] = offers_.changes_unix_ms();
  return j;
}

ordered_json PlaceholderDesk::model_json(const Served& served) const {
  const Station& first = *served.stations.front();
  const LifeTimes& times = first.plan().life.times;
  ImageWish wish;
  wish.model = served.model.name;
  wish.vendor = config_.card.vendor;
  std::transform(wish.vendor.begin(), wish.vendor.end(), wish.vendor.begin(), ::tolower);
  wish.card_memory_gb = config_.card.memory_gb;
  // What the card has no arithmetic for is served in the type it has.
  wish.dtype = served.model.dtype == Dtype::Bf16 && config_.card.bf16_tflops == 0
                   ? "fp16"
                   : std::string(to_string(served.model.dtype));
  const ImageAnswer image = find_image(built_in_images(), wish);
  return {{"model", served.model.name},
          {"engines", served.stations.size()},
          {"free", book_.free(served.model.name)},
          {"cards_per_engine", first.plan().cards},
          {"stage_s", seconds_of(times.stage)},
          {"cold_s", seconds_of(times.load + times.warm)},
          {"image", image.image ? ordered_json(image.image->name) : ordered_json(nullptr)},
          {"image_gb", image.image ? image.image->gb : 0.0},
          {"image_substitute_for",
           image.first_choice ? ordered_json(image.first_choice->name) : ordered_json(nullptr)}};
}

// Coroutine parameters, so that nothing lives in a lambda that is gone.
struct PlaceholderDesk::Api {
  using Owner = std::shared_ptr<void>;

  static awaitable<void> list(PlaceholderDesk& desk, Owner, base::Request&, base::Responder& out) {
    ordered_json all{{"pool", desk.config_.id},
                     {"card", desk.config_.card.name},
                     {"time_scale", desk.config_.engine.time_scale},
                     {"leased", desk.config_.leased},
                     {"open", desk.offers_.open()},
                     {"offer", desk.offers_.offer().version},
                     {"price",
                      {{"card_nano_s", desk.offers_.offer().price.card},
                       {"placeholder_nano_s", desk.offers_.offer().price.placeholder}}},
                     {"models", ordered_json::array()},
                     {"placeholders", ordered_json::array()}};
    if (desk.config_.leased)
      for (const auto& one : desk.models_.all()) all["models"].push_back(desk.model_json(*one));
    for (const auto& one : desk.book_.all(base::monotonic_now()))
      all["placeholders"].push_back(desk.to_json(one));
    std::string body = all.dump();
    co_await out.json(200, std::move(body));
  }

  static awaitable<void> tell(PlaceholderDesk& desk, PlaceholderStatus status, base::Responder& out) {
    bool kept = true;
    try {
      co_await desk.keep(status, false);
    } catch (const std::exception& error) {
      base::log_error("card time was not kept, and nobody is told of it: {}", error.what());
      kept = false;
    }
    if (!kept) co_return void(co_await out.error(503, "not_kept", "the pool's books cannot be written now"));
    std::string answer = desk.to_json(status).dump();
    co_await out.json(200, std::move(answer));
  }

  // A gateway leases for itself only: whoever signed the ticket is the owner.
  static bool may_lease(PlaceholderDesk& desk, const base::Request& in, const std::string& owner) {
    if (!desk.site_) return true;
    const auto issuer = desk.site_->issuer(in.headers, "lease", in.capture("id"));
    if (issuer && *issuer == owner) return true;
    desk.refused_.add();
    return false;
  }

  static awaitable<void> put(PlaceholderDesk& desk, Owner, base::Request& in, base::Responder& out) {
    const auto body = nlohmann::json::parse(in.body, nullptr, false);
    PlaceholderWish wish;
    wish.id = std::string(in.capture("id"));
    std::string problem;
    const auto number = [&](const char* key, std::int64_t most, std::int64_t fallback) -> std::int64_t {
      if (!body.contains(key)) return fallback;
      if (!body[key].is_number_unsigned() || body[key].get<std::uint64_t>() > std::uint64_t(most)) {
        problem = fmt::format("'{}' must be an integer up to {}", key, most);
        return fallback;
      }
      return body[key].get<std::int64_t>();
    };
    if (!body.is_object()) {
      problem = "the body is not a JSON object";
    } else {
      for (const auto& [key, text] : {std::pair("owner", &wish.owner), std::pair("model", &wish.model)}) {
        if (body.contains(key) && body[key].is_string()) *text = body[key].get<std::string>();
        if (!is_name(*text)) problem = fmt::format("'{}' is required: visible ASCII, no slash", key);
      }
      wish.engines = static_cast<std::uint32_t>(number("engines", 4096, 1));
      wish.awake = static_cast<std::uint32_t>(number("awake", 4096, 0));
      wish.ttl = std::chrono::seconds(number("ttl_s", kMaxTtlS, 60));
      for (const auto& [key, value] : body.items())
        if (key != "owner" && key != "model" && key != "engines" && key != "awake" && key != "ttl_s")
          problem = fmt::format("'{}' is unknown", key);
    }
    if (!is_name(wish.id)) problem = "an id is visible ASCII without a slash, 127 bytes at most";
    if (!problem.empty()) co_return void(co_await out.error(400, "invalid_value", problem, kExample));
    if (!may_lease(desk, in, wish.owner)) co_return co_await jobs::refuse(out, jobs::Errc::BadTicket);
    if (!desk.config_.leased)
      co_return void(co_await out.error(409, "not_leased", "this pool's engines are woken by calls",
                                        "[life] start = \"leased\" in its configuration"));
    const Served* const served = desk.models_.find(wish.model);
    if (!served)
      co_return void(co_await out.error(404, "model_not_found", "no model " + wish.model + " here"));
    wish.model = served->model.name;
    desk.look();
    const auto refused = desk.book_.put(wish, base::monotonic_now(), base::unix_now_ms());
    desk.look();
    if (refused == PlaceholderBook::Refused::Full)
      co_return void(co_await out.error(429, "too_many_placeholders", "the book is full", "release some"));
    if (refused != PlaceholderBook::Refused::No)
      co_return void(co_await out.error(409, "placeholder_taken",
                                        refused == PlaceholderBook::Refused::OtherOwner
                                            ? "it is another owner's"
                                            : "it was bound for another model",
                                        "another id"));
    co_await tell(desk, *desk.book_.status(wish.id, base::monotonic_now()), out);
  }

  static awaitable<void> release(PlaceholderDesk& desk, Owner, base::Request& in, base::Responder& out) {
    desk.look();
    const auto known = desk.book_.status(in.capture("id"), base::monotonic_now());
    if (known && !may_lease(desk, in, known->wish.owner))
      co_return co_await jobs::refuse(out, jobs::Errc::BadTicket);
    const auto last = desk.book_.remove(in.capture("id"), base::monotonic_now());
    if (!last) co_return void(co_await out.error(404, "not_found", "no such placeholder", "GET lists them"));
    desk.act();
    co_await tell(desk, *last, out);
  }
};

void PlaceholderDesk::add_routes(base::HttpServer& server, const std::shared_ptr<void>& owner) {
  const auto route = [&](std::string_view method, std::string_view pattern, auto handler) {
    server.route(method, pattern, [this, owner, handler](base::Request& in, base::Responder& out) {
      return handler(*this, owner, in, out);
    });
  };
  route("GET", "/qanat/v1/placeholders", &Api::list);
  route("PUT", "/qanat/v1/placeholders/{id}", &Api::put);
  route("DELETE", "/qanat/v1/placeholders/{id}", &Api::release);
}

}  // namespace qanat::pool
