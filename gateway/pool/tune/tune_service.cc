#include "gateway/pool/tune/tune_service.hh"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <map>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_server.hh"
#include "gateway/pool/serve/chat_api.hh"
#include "gateway/pool/serve/pool_config.hh"
#include "gateway/pool/tune/tune_files.hh"
#include "gateway/pool/tune/tune_job.hh"

namespace qanat::pool {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::ordered_json;

namespace {

constexpr std::size_t kMaxJobs = 1000;

struct Job {
  Job(std::string name, const TunePlan& plan, std::uint64_t done) : id(std::move(name)), job(plan, done) {}
  std::string id, base_model, training_file, suffix;
  std::string contract;                       // under which it uses its data; empty: none
  bool revoked = false;                       // that was taken back
  std::map<std::uint64_t, std::string> kept;  // checkpoints in the store: step, digest
  std::int64_t created = 0;
  std::int64_t finished = 0;
  TuneJob job;
  std::vector<TuneEvent> events;
  std::vector<std::int64_t> when;  // of events, Unix seconds

  std::string model() const {
    return fmt::format("ft:{}:{}:{}", base_model, suffix.empty() ? "job" : suffix, id);
  }
  ordered_json json() const {
    const bool done = job.state() == TuneState::Succeeded;
    return {
        {"id", id},
        {"object", "fine_tuning.job"},
        {"created_at", created},
        {"finished_at", finished > 0 ? ordered_json(finished) : ordered_json()},
        {"model", base_model},
        {"fine_tuned_model", done ? ordered_json(model()) : ordered_json()},
        {"status", revoked ? std::string_view("failed") : to_string(job.state())},
        {"training_file", training_file},
        {"validation_file", nullptr},
        {"trained_tokens",
         done ? ordered_json(job.plan().dataset_tokens * job.plan().epochs) : ordered_json()},
        {"estimated_finish", job.state() == TuneState::Running
                                 ? ordered_json(base::unix_now() + job.remaining() / std::chrono::seconds(1))
                                 : ordered_json()},
        {"hyperparameters", {{"n_epochs", job.plan().epochs}}},
        {"seed", job.plan().seed},
        {"result_files", ordered_json::array()},
        {"error", revoked ? ordered_json{{"code", "contract_revoked"},
                                         {"message", "the contract on its training file was revoked"},
                                         {"param", "training_file"}}
                          : ordered_json()},
        {"x_qanat",
         {{"step", job.step()},
          {"steps", job.plan().steps()},
          {"steps_lost", job.steps_lost()},
          {"step_ms", std::chrono::duration<double, std::milli>(job.plan().step_time()).count()},
          {"tokens_per_step", job.plan().batch_tokens},
          {"result", done && kept.contains(job.step()) ? ordered_json(kept.at(job.step())) : ordered_json()},
          {"cards", job.plan().cards}}}};
  }
  static ordered_json said(const TuneEvent& e, const std::string& id, std::int64_t at, std::size_t index) {
    const auto text = [&]() -> std::string {
      switch (e.kind) {
        case TuneEvent::Kind::Started: return "Training has begun";
        case TuneEvent::Kind::Step: return fmt::format("Step {}: training loss={:.4f}", e.step, e.loss);
        case TuneEvent::Kind::Checkpoint: return fmt::format("Checkpoint at step {}", e.step);
        case TuneEvent::Kind::Paused: return "Paused";
        case TuneEvent::Kind::Resumed: return "Resumed";
        case TuneEvent::Kind::Restarted:
          return fmt::format("Cards lost: again from the checkpoint at step {}", e.step);
        case TuneEvent::Kind::Succeeded: return "The job has succeeded";
        case TuneEvent::Kind::Cancelled: return "Cancelled";
      }
      return {};
    };
    const bool step = e.kind == TuneEvent::Kind::Step;
    ordered_json json{{"object", "fine_tuning.job.event"},
                      {"id", fmt::format("ftevent-{}-{}", id, index)},
                      {"created_at", at},
                      {"level", e.kind == TuneEvent::Kind::Restarted ? "warn" : "info"},
                      {"message", text()},
                      {"type", step ? "metrics" : "message"}};
    if (step) json["data"] = {{"step", e.step}, {"train_loss", e.loss}};
    return json;
  }
};

// Made outside the awaited expression: g++ 12 destroys braced temporaries of one twice.
ApiError not_found(std::string message) {
  return {404, std::move(message), "not_found", "fine_tuning_job_id"};
}
ApiError too_many() { return {429, "Too many jobs.", "too_many_jobs", "", "rate_limit_error"}; }
ApiError keeps_nothing() {
  return {400, "This pool keeps no artefacts: its configuration has no [artefacts].", "unsupported_parameter",
          "x_qanat.artefact"};
}
std::string text_of(const nlohmann::json& json, const char* key) {
  const auto it = json.is_object() ? json.find(key) : json.end();
  return it != json.end() && it->is_string() ? it->get<std::string>() : std::string();
}
ApiError bad(std::string param, std::string message) {
  return {400, std::move(message), "invalid_value", std::move(param)};
}

}  // namespace

struct TuneService::State : std::enable_shared_from_this<TuneService::State> {
  State(asio::io_context& context, const PoolConfig& c, std::function<void(bool)> told, jobs::SiteStore* site)
      : io(context), timer(context), config(c), busy_changed(std::move(told)) {
    if (site) files.emplace(*site);
  }

  // A checkpoint is one once its bytes are in the store.
  static awaitable<void> keep(std::shared_ptr<State> self, std::string id, std::uint64_t step) {
    Job* job = self->find(id);
    const auto digest = co_await self->files->write_checkpoint(job->job.plan(), step);
    job = self->find(id);
    if (digest && job) job->kept[step] = *digest;
  }

  // One job at a time has the cards; the others wait in their order.
  void turn() {
    const base::Time now = base::monotonic_now();
    Job* running = nullptr;
    for (auto& one : jobs) {
      one->job.on_timer(now);
      if (one->job.state() == TuneState::Running) running = one.get();
    }
    for (auto& one : jobs) {
      if (running) break;
      if (one->job.state() != TuneState::Queued) continue;
      one->job.set_share(share, now);
      one->job.start(now);
      running = one.get();
    }
    for (auto& one : jobs)
      while (const auto event = one->job.poll_event()) {
        one->events.push_back(*event);
        one->when.push_back(static_cast<std::int64_t>(base::unix_now()));
        if (event->kind == TuneEvent::Kind::Checkpoint && files)
          asio::co_spawn(io, keep(shared_from_this(), one->id, event->step), asio::detached);
        if (event->kind == TuneEvent::Kind::Succeeded || event->kind == TuneEvent::Kind::Cancelled)
          one->finished = one->when.back();
      }
    if ((running != nullptr) != busy) {
      busy = running != nullptr;
      busy_changed(busy);
    }
    if (!running || stopped) return;
    timer.expires_at(std::chrono::steady_clock::time_point(running->job.next_timeout()->time_since_epoch()));
    timer.async_wait([weak = weak_from_this()](boost::system::error_code error) {
      const auto self = weak.lock();
      if (!error && self) self->turn();
    });
  }

  Job* find(std::string_view id) {
    for (auto& one : jobs)
      if (one->id == id) return one.get();
    return nullptr;
  }

  boost::system::result<TunePlan, ApiError> plan_of(const nlohmann::json& json);
  static awaitable<void> create(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  static awaitable<void> estimate(std::shared_ptr<State> self, base::Request& in, base::Responder& out);
  awaitable<void> answer(base::Request& in, base::Responder& out, std::shared_ptr<State> self);
  static awaitable<void> refuse(base::Responder& out, ApiError error) {
    co_await out.send(error.status, "application/json", to_json(error));
  }

  asio::io_context& io;
  asio::steady_timer timer;
  const PoolConfig& config;
  std::optional<TuneFiles> files;
  std::function<void(bool)> busy_changed;
  std::deque<std::unique_ptr<Job>> jobs;
  std::uint64_t next = 1;
  double share = 1;
  bool busy = false, stopped = false;
};

boost::system::result<TunePlan, ApiError> TuneService::State::plan_of(const nlohmann::json& json) {
  if (!json.is_object()) return bad("", "The body must be a JSON object.");
  const auto text = [&](const char* key) { return text_of(json, key); };
  TunePlan plan;
  const std::string model = text("model");
  bool known = false;
  for (const Model& served : config.models)
    if (served.name == model) {
      plan.model = served;
      known = true;
    }
  if (!known)
    return ApiError{404, "The model '" + model + "' does not exist at this pool.", "model_not_found",
                    "model"};
  if (text("training_file").empty()) return bad("training_file", "'training_file' is required.");
  plan.card = config.card;
  plan.cards = config.cards_per_model();
  plan.time_scale = config.engine.time_scale;
  plan.disk_gb_per_s = config.storage.disk_gb_per_s;
  // What OpenAI's API leaves open is under x_qanat.
  const auto number = [&](const nlohmann::json& from, const char* key, std::uint64_t low, std::uint64_t high,
                          std::uint64_t& into) {
    const auto it = from.find(key);
    if (it == from.end() || *it == "auto") return true;
    if (!it->is_number_unsigned() || it->get<std::uint64_t>() < low || it->get<std::uint64_t>() > high)
      return false;
    into = it->get<std::uint64_t>();
    return true;
  };
  const auto own = json.value("x_qanat", nlohmann::json::object());
  const auto hyper = json.value("hyperparameters", nlohmann::json::object());
  std::uint64_t tokens = plan.dataset_tokens, rank = plan.lora_rank, batch = plan.batch_tokens,
                every = plan.checkpoint_steps, epochs = 1, cards = plan.cards;
  if (!own.is_object() || !hyper.is_object())
    return bad("x_qanat", "'x_qanat' and 'hyperparameters' are objects.");
  if (!number(json, "seed", 0, UINT32_MAX, plan.seed)) return bad("seed", "'seed' must be an integer.");
  if (!number(hyper, "n_epochs", 1, 100, epochs)) return bad("hyperparameters.n_epochs", "1 to 100.");
  if (!number(own, "dataset_tokens", 1, 1'000'000'000'000, tokens))
    return bad("x_qanat.dataset_tokens", "At least 1.");
  if (!number(own, "lora_rank", 0, 1024, rank)) return bad("x_qanat.lora_rank", "0 (all weights) to 1024.");
  if (!number(own, "batch_tokens", 128, 1 << 24, batch))
    return bad("x_qanat.batch_tokens", "128 to 16777216.");
  if (!number(own, "checkpoint_steps", 1, 1'000'000, every))
    return bad("x_qanat.checkpoint_steps", "At least 1.");
  if (!number(own, "cards", 1, config.count, cards))
    return bad("x_qanat.cards", "As many as the pool has, at most.");
  plan.dataset_tokens = tokens;
  plan.epochs = static_cast<std::uint32_t>(epochs);
  plan.lora_rank = static_cast<std::uint32_t>(rank);
  plan.batch_tokens = static_cast<std::uint32_t>(batch);
  plan.checkpoint_steps = static_cast<std::uint32_t>(every);
  plan.cards = static_cast<std::uint32_t>(cards);
  if (!plan.fits())
    return ApiError{
        400,
        fmt::format(
            "It needs {:.0f} GB of card memory, {} × {} have {:.0f}; LoRA needs less than all weights.",
            plan.memory_bytes() / 1e9, plan.cards, plan.card.name, plan.cards * plan.card.memory_gb),
        "does_not_fit", "x_qanat.lora_rank"};
  return plan;
}

awaitable<void> TuneService::State::estimate(std::shared_ptr<State> self, base::Request& in,
                                             base::Responder& out) {
  const auto plan = self->plan_of(nlohmann::json::parse(in.body, nullptr, false));
  if (!plan) co_return co_await refuse(out, plan.error());
  const double seconds = std::chrono::duration<double>(TuneJob(*plan).remaining()).count();
  const ordered_json body{{"steps", plan->steps()},
                          {"tokens", plan->dataset_tokens * plan->epochs},
                          {"tokens_per_step", plan->batch_tokens},
                          {"seconds", seconds},
                          {"checkpoint_bytes", TuneFiles::checkpoint_bytes(*plan)}};
  co_await out.json(200, body.dump());
}

// Data that is named by its artefact must be here, and may be used only with the word of a gateway that is trusted.
awaitable<void> TuneService::State::create(std::shared_ptr<State> self, base::Request& in,
                                           base::Responder& out) {
  const auto json = nlohmann::json::parse(in.body, nullptr, false);
  const auto plan = self->plan_of(json);
  if (!plan) co_return co_await refuse(out, plan.error());
  if (self->jobs.size() >= kMaxJobs) co_return co_await refuse(out, too_many());
  TuneInput input;
  std::string contract;
  const auto own = json.value("x_qanat", nlohmann::json::object());
  input.dataset = text_of(own, "artefact");
  if (!input.dataset.empty()) {
    if (!self->files) co_return co_await refuse(out, keeps_nothing());
    input.base = text_of(own, "base_artefact");
    input.checkpoint = text_of(own, "checkpoint");
    input.user = text_of(own, "user");
    input.use = text_of(own, "use");
    if (own.contains("step") && own["step"].is_number_unsigned())
      input.step = std::min(own["step"].get<std::uint64_t>(), plan->steps() - 1);
    const auto admitted = co_await self->files->admit(in.headers, input, contract);
    if (!admitted) co_return co_await jobs::refuse(out, jobs::errc_of(admitted.error()));
  }
  const std::string id = fmt::format("ftjob-{:x}", (base::unix_now_ms() << 12) + self->next++);
  auto& job =
      *self->jobs.emplace_back(std::make_unique<Job>(id, *plan, input.checkpoint.empty() ? 0 : input.step));
  job.base_model = text_of(json, "model");
  job.training_file = text_of(json, "training_file");
  job.suffix = text_of(json, "suffix");
  job.contract = contract;
  job.created = static_cast<std::int64_t>(base::unix_now());
  self->turn();
  co_await out.json(200, job.json().dump());
}

awaitable<void> TuneService::State::answer(base::Request& in, base::Responder& out,
                                           std::shared_ptr<State> self) {
  Job* const job = find(in.capture("id"));
  if (!job) co_return co_await refuse(out, not_found("No such job."));
  const std::string verb(in.capture("verb"));
  const base::Time now = base::monotonic_now();
  if (in.method == "POST") {
    if (verb == "cancel")
      job->job.cancel(now);
    else if (verb == "pause")
      job->job.pause(now);
    else if (verb == "resume")
      job->job.resume(now);
    else
      co_return co_await refuse(out, not_found("cancel, pause or resume"));
    turn();
    co_return void(co_await out.json(200, job->json().dump()));
  }
  turn();
  if (verb.empty()) co_return void(co_await out.json(200, job->json().dump()));
  ordered_json data = ordered_json::array();
  for (std::size_t i = job->events.size(); i-- > 0;) {
    const TuneEvent& event = job->events[i];
    if (verb == "events") data.push_back(Job::said(event, job->id, job->when[i], i));
    if (verb == "checkpoints" && event.kind == TuneEvent::Kind::Checkpoint)
      data.push_back({{"object", "fine_tuning.job.checkpoint"},
                      {"id", fmt::format("ftckpt-{}-{}", job->id, event.step)},
                      {"created_at", job->when[i]},
                      {"fine_tuned_model_checkpoint", fmt::format("{}:step-{}", job->model(), event.step)},
                      {"fine_tuning_job_id", job->id},
                      {"step_number", event.step},
                      {"artefact", job->kept.contains(event.step) ? ordered_json(job->kept.at(event.step))
                                                                  : ordered_json()},
                      {"metrics", {{"step", event.step}, {"train_loss", job->job.plan().loss(event.step)}}}});
    if (data.size() == 1000) break;
  }
  const ordered_json list{{"object", "list"}, {"data", std::move(data)}, {"has_more", false}};
  co_await out.json(200, list.dump());
}

TuneService::TuneService(asio::io_context& io, const PoolConfig& config, std::function<void(bool)> busy,
                         jobs::SiteStore* site)
    : state_(std::make_shared<State>(io, config, std::move(busy), site)) {}
TuneService::~TuneService() { stop(); }

void TuneService::add_routes(base::HttpServer& server) {
  auto s = state_;
  server.route("POST", "/v1/fine_tuning/jobs",
               [s](base::Request& in, base::Responder& out) { return State::create(s, in, out); });
  server.route("POST", "/v1/fine_tuning/estimate",
               [s](base::Request& in, base::Responder& out) { return State::estimate(s, in, out); });
  server.route("GET", "/v1/fine_tuning/jobs", [s](base::Request&, base::Responder& out) -> awaitable<void> {
    ordered_json data = ordered_json::array();
    for (auto it = s->jobs.rbegin(); it != s->jobs.rend(); ++it) data.push_back((*it)->json());
    const ordered_json list{{"object", "list"}, {"data", std::move(data)}, {"has_more", false}};
    co_await out.json(200, list.dump());
  });
  const auto answer = [s](base::Request& in, base::Responder& out) { return s->answer(in, out, s); };
  server.route("GET", "/v1/fine_tuning/jobs/{id}", answer);
  server.route("GET", "/v1/fine_tuning/jobs/{id}/{verb}", answer);
  server.route("POST", "/v1/fine_tuning/jobs/{id}/{verb}", answer);
}

void TuneService::set_share(double share) {
  state_->share = share;
  const base::Time now = base::monotonic_now();
  for (auto& one : state_->jobs) one->job.set_share(share, now);
  state_->turn();
}

void TuneService::lose(base::Duration outage) {
  const base::Time now = base::monotonic_now();
  for (auto& one : state_->jobs) one->job.lose(outage, now);
  state_->turn();
}

void TuneService::revoke(const std::string& contract) {
  for (auto& one : state_->jobs) {
    if (one->contract != contract || one->job.state() == TuneState::Succeeded) continue;
    one->revoked = one->job.state() != TuneState::Cancelled;
    one->job.cancel(base::monotonic_now());
  }
  state_->turn();
}

void TuneService::stop() {
  state_->stopped = true;
  state_->timer.cancel();
}

}  // namespace qanat::pool
