// The routes of TuningService: what is asked is checked, kept, and in the queue before it is answered.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "gateway/jobs/artefact/chat_lines.hh"
#include "gateway/jobs/page.hh"
#include "gateway/jobs/tuning/tune.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

// The first thing that is wrong with a training file, and its tokens; a chunk at a time, so that others get their turn.
asio::awaitable<std::pair<std::string, std::uint64_t>> check_lines(Desk& desk, Digest id) {
  const auto count = [id](Shelf& shelf) {
    const auto manifest = shelf.chunks.manifest(id);
    return manifest ? manifest->chunks.size() : 0;
  };
  const std::size_t chunks = co_await desk.store.thread().run(count);
  auto lines = std::make_shared<ChatLines>();
  for (std::size_t n = 0; n < chunks; ++n) {
    const auto feed = [id, n, lines](Shelf& shelf) {
      const auto bytes = shelf.chunks.get(id, n);
      if (bytes) lines->feed(*bytes);
      return bytes.has_value();
    };
    if (!co_await desk.store.thread().run(feed))
      co_return std::pair(std::string("its content is not complete"), 0ULL);
  }
  std::string wrong = lines->finish();
  co_return std::pair(std::move(wrong), lines->tokens());
}

}  // namespace

struct TuningService::Routes {
  // Files checked, pools asked what it would take; refused with a reason, or in the queue.
  static asio::awaitable<void> create(Self self, Caller caller, base::Request& in, base::Responder& out) {
    Desk& desk = self->desk_;
    const ordered_json asked = ordered_json::parse(in.body, nullptr, false);
    const json view(asked);
    const std::string model = text_of(view, "model"), training = text_of(view, "training_file");
    if (model.empty() || training.empty())
      co_return void(
          co_await out.error(400, "missing_required_parameter", "'model' and 'training_file' are required"));
    const json own = view.value("x_qanat", json::object());
    const auto priority =
        parse_priority(own.is_object() && own.contains("priority") ? text_of(own, "priority") : "normal");
    if (!own.is_object() || !priority)
      co_return void(co_await out.error(400, "invalid_value", "'x_qanat.priority' is high, normal or low"));
    const auto file = co_await desk.find_file(training, caller.tenant);
    if (!file || file->status != "processed")
      co_return co_await refuse(out, Errc::NoSuchArtefact,
                                "no training file '" + training + "' that is complete");
    auto t = std::make_shared<Tune>();
    t->id = fresh_id("ftjob-");
    const auto [wrong, tokens] = co_await check_lines(desk, file->artefact);
    if (!wrong.empty()) co_return co_await refuse(out, Errc::BadDataset, file->name + ": " + wrong);

    t->request = asked;
    t->request["training_file"] = file->id;
    if (!t->request.contains("x_qanat")) t->request["x_qanat"] = ordered_json::object();
    for (const char* ours : {"priority", "prefer", "pools"}) t->request["x_qanat"].erase(ours);
    t->request["x_qanat"]["artefact"] = to_string(file->artefact);
    if (!t->request["x_qanat"].contains("dataset_tokens"))
      t->request["x_qanat"]["dataset_tokens"] = std::max<std::uint64_t>(tokens, 1);
    if (const std::string base = text_of(own, "base_artefact"); !base.empty()) {
      const auto known = co_await desk.find_file(base, caller.tenant);
      if (!known) co_return co_await refuse(out, Errc::NoSuchArtefact, "no base '" + base + "'");
      t->request["x_qanat"]["base_artefact"] = to_string(known->artefact);
    }

    TuningJob job;
    job.id = t->id;
    job.tenant = caller.tenant;
    job.priority = *priority;
    job.cheapest = text_of(own, "prefer") == "cost";
    t->file = *file;
    t->payer = caller;
    t->wanted = own.value("pools", std::vector<std::string>());
    auto [offers, refused, said] = co_await self->survey(t, {});
    double fastest = 0;
    ordered_json prices = ordered_json::object();
    std::int64_t dearest = 0;
    for (const Offer& offer : offers) {
      job.to_move[offer.pool] = offer.to_move;
      job.seconds[offer.pool] = offer.seconds;
      job.tokens = offer.tokens;
      job.steps = offer.steps;
      if (fastest == 0 || offer.seconds < fastest) fastest = offer.seconds;
      job.pools.push_back(offer.pool);
      prices[offer.pool] = offer.nano_per_token;
      dearest = std::max(dearest, offer.nano_per_token);
    }
    if (job.pools.empty()) {
      // A refusal by a contract is a use that was refused: it is in the tree.
      if (!clause(refused).empty()) {
        const auto pool = t->wanted.empty() ? std::nullopt : desk.find_pool(t->wanted.front());
        const auto first = desk.pools();
        const PoolSite at = pool ? *pool : first.empty() ? PoolSite{} : first.front();
        const auto recorded = co_await desk.use(*file, caller, at, "finetune", t->id);
        if (!recorded) refused = errc_of(recorded.error());
        co_return co_await refuse(out, refused);
      }
      // Pools that have only just begun anew may take it in a moment.
      if (said.empty()) said = "no pool that is ready can train '" + model + "'";
      out.set_header("retry-after", "2");
      co_return void(co_await out.error(503, "no_pool_ready", said));
    }
    t->held = meter::Nano{dearest} * static_cast<meter::Nano>(job.tokens);
    if (auto lack = co_await desk.hold(caller, t->held)) co_return co_await refuse(out, std::move(*lack));
    t->created_ms = unix_ms();
    t->doc["id"] = t->id;
    t->doc["object"] = "fine_tuning.job";
    t->doc["created_at"] = t->created_ms / 1000;
    t->doc["finished_at"] = nullptr;
    t->doc["model"] = model;
    t->doc["fine_tuned_model"] = nullptr;
    t->doc["organization_id"] = caller.tenant;
    t->doc["status"] = "queued";
    t->doc["training_file"] = file->id;
    t->doc["validation_file"] = nullptr;
    t->doc["trained_tokens"] = nullptr;
    t->doc["estimated_finish"] = t->created_ms / 1000 + static_cast<std::int64_t>(fastest);
    t->doc["hyperparameters"] =
        asked.contains("hyperparameters") ? asked["hyperparameters"] : ordered_json::object();
    t->doc["seed"] = asked.contains("seed") ? asked["seed"] : ordered_json(1);
    t->doc["result_files"] = ordered_json::array();
    t->doc["error"] = nullptr;
    t->doc["x_qanat"] = {{"priority", to_string(*priority)},
                         {"prefer", job.cheapest ? "cost" : "time"},
                         {"pools", job.pools},
                         {"pool", nullptr},
                         {"step", 0},
                         {"safe_step", 0},
                         {"steps", job.steps},
                         {"tokens", job.tokens},
                         {"moves", 0},
                         {"preempted", 0},
                         {"prices", std::move(prices)},
                         {"at_most_nano", static_cast<std::int64_t>(t->held)}};
    self->queue_.add(job);
    self->tunes_[t->id] = t;
    self->tell(t, "info", fmt::format("{} is good: {} tokens to train", file->name, job.tokens));
    const std::string body = t->doc.dump();
    co_await self->keep(t);
    co_await out.json(200, body);
  }

  static asio::awaitable<void> list(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const auto now = [self](const std::string& id, const std::string&) {
      const auto live = self->tunes_.find(id);
      return live == self->tunes_.end() ? ordered_json() : live->second->doc;
    };
    const KeptJobs tunes{self->desk_, "tune", now};
    ordered_json data = co_await tunes.all(caller.tenant);
    co_await send_page(in, out, std::move(data));
  }

  static asio::awaitable<void> get(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string id(in.capture("id")), verb(in.capture("verb"));
    ordered_json doc, events, checkpoints;
    if (const auto live = self->tunes_.find(id);
        live != self->tunes_.end() && live->second->payer.tenant == caller.tenant) {
      doc = live->second->doc;
      events = live->second->events;
      checkpoints = live->second->checkpoints;
    } else {
      const auto d = co_await self->desk_.load("tune", id);
      if (!d || d->tenant != caller.tenant)
        co_return void(co_await out.error(404, "not_found", "no such fine-tuning job"));
      const ordered_json kept = ordered_json::parse(d->body);
      doc = kept["doc"];
      events = kept["events"];
      checkpoints = kept["checkpoints"];
    }
    if (verb.empty()) co_return void(co_await out.json(200, doc.dump()));
    ordered_json newest = ordered_json::array();
    const ordered_json& of = verb == "events" ? events : checkpoints;
    for (std::size_t i = of.size(); i-- > 0;) newest.push_back(of[i]);
    co_await send_page(in, out, std::move(newest), {.usual = 1000, .most = 1000});
  }

  static asio::awaitable<void> turn(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string verb(in.capture("verb"));
    const auto found = self->tunes_.find(std::string(in.capture("id")));
    if (found == self->tunes_.end() || found->second->payer.tenant != caller.tenant)
      co_return void(co_await out.error(404, "not_found", "no such fine-tuning job is under way"));
    const TunePtr t = found->second;
    if (verb == "pause") {
      self->queue_.pause(t->id);
      if (self->queue_.find(t->id)->state == TuningState::Paused) t->doc["status"] = "paused";
    } else if (verb == "resume") {
      self->queue_.resume(t->id);
      if (t->doc["status"] == "paused") t->doc["status"] = "queued";
    } else if (verb == "cancel") {
      co_await self->cancel(t->id);
    } else {
      co_return void(co_await out.error(404, "not_found", "cancel, pause or resume"));
    }
    co_await self->keep(t);
    co_await out.json(200, t->doc.dump());
  }
};

void TuningService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "POST", "/v1/fine_tuning/jobs", self, Routes::create);
  route(server, desk_, "GET", "/v1/fine_tuning/jobs", self, Routes::list);
  route(server, desk_, "GET", "/v1/fine_tuning/jobs/{id}", self, Routes::get);
  route(server, desk_, "GET", "/v1/fine_tuning/jobs/{id}/{verb}", self, Routes::get);
  route(server, desk_, "POST", "/v1/fine_tuning/jobs/{id}/{verb}", self, Routes::turn);
}

}  // namespace qanat::jobs
