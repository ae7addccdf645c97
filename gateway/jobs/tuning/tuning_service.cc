#include "gateway/jobs/tuning/tuning_service.hh"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/log.hh"
#include "gateway/jobs/rest.hh"
#include "gateway/jobs/tuning/tune.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr base::Duration kTick = std::chrono::milliseconds{150};
constexpr int kStageTries = 20;  // before another pool is tried
constexpr int kLookAgain = 10;   // rounds of waiting, after which pools that were not there before are asked

}  // namespace

void TuningService::tell(TunePtr t, const char* level, std::string message) {
  if (t->events.size() >= kMaxEvents) return;
  t->events.push_back({{"object", "fine_tuning.job.event"},
                       {"id", fmt::format("ftevent-{}-{}", t->id, t->events.size())},
                       {"created_at", unix_ms() / 1000},
                       {"level", level},
                       {"message", std::move(message)},
                       {"type", "message"}});
}

awaitable<void> TuningService::keep(TunePtr t) {
  ordered_json body;
  body["doc"] = t->doc;
  body["request"] = t->request;
  body["events"] = t->events;
  body["checkpoints"] = t->checkpoints;
  body["file"] = t->file.id;
  body["wanted"] = t->wanted;
  body["pool_job"] = t->pool_job;
  body["begun_at"] = t->begun_at;
  body["billing"] = t->billing;
  if (const TuningJob* job = queue_.find(t->id)) {
    body["state"] = to_string(job->state);
    body["pool"] = job->pool;
    body["step"] = job->step;
    body["checkpoint"] = job->checkpoint;
    body["moves"] = job->moves;
    t->doc["x_qanat"]["pool"] = job->pool.empty() ? ordered_json() : ordered_json(job->pool);
    t->doc["x_qanat"]["safe_step"] = job->step;
    t->doc["x_qanat"]["moves"] = job->moves;
  }
  Document kept = t->document(std::move(body));
  co_await desk_.save("tune", std::move(kept));
}

awaitable<Result<base::ClientResponse>> TuningService::ask(TunePtr t, PoolSite pool, std::string method,
                                                           std::string target, std::string body) {
  base::ClientRequest request;
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = std::move(body);
  if (!t->contract_header.empty()) request.headers.add("x-qanat-contract", t->contract_header);
  const Place at{pool.origin, pool.id};
  co_return co_await desk_.mover.ask(at, std::move(request), "use", to_string(t->file.artefact));
}

void TuningService::see_pools() {
  for (const PoolSite& pool : desk_.pools()) {
    TuningPool one;
    one.id = pool.id;
    one.site = pool.site;
    one.alive = pool.alive;
    one.nano_per_mtoken = pool.nano_per_token * 1'000'000;
    one.bytes_per_s = 50e6;
    queue_.set_pool(one);
  }
}

// What was done at the pool that it leaves now, up to the last checkpoint that is safe: what was lost is not paid.
awaitable<void> TuningService::bill(TunePtr t) {
  const TuningJob* job = queue_.find(t->id);
  if (!job || t->pool_job.empty() || job->step <= t->begun_at) co_return;
  const auto steps = t->billing.emplace_back(t->begun_at, job->step);
  meter::ServiceLine line = t->line_of(steps.first, steps.second);
  line.unix_ms = unix_ms();
  t->begun_at = steps.second;
  t->held -= line.amount_nano;
  try {
    co_await keep(t);
  } catch (const meter::StoreError& error) {
    base::log_error("{}: {}", t->id, error.what());  // the bill waits for the disk
  }
  co_await desk_.bill(t->payer, std::move(line));
  std::erase(t->billing, steps);
}

// What a gateway that ended was about to book: it is in the books already, or is now.
awaitable<void> TuningService::bill_again(TunePtr t) {
  for (const auto& steps : t->billing) {
    meter::ServiceLine line = t->line_of(steps.first, steps.second);
    line.unix_ms = unix_ms();
    if (co_await desk_.hold(t->payer, line.amount_nano)) desk_.settle(t->payer, -line.amount_nano, 0);
    co_await desk_.bill(t->payer, std::move(line));
  }
  t->billing.clear();
}

awaitable<void> TuningService::end(TunePtr t, std::string status, std::string code, std::string message) {
  if (std::exchange(t->ending, true)) co_return;
  queue_.on_ended(t->id);  // before the first wait: a checkpoint that comes home meanwhile is too late
  co_await bill(t);
  desk_.settle(t->payer, std::exchange(t->held, 0), 0);
  t->doc["status"] = status;
  t->doc["finished_at"] = unix_ms() / 1000;
  if (!code.empty()) {
    t->doc["error"] = {{"code", code}, {"message", message}, {"param", "training_file"}};
    tell(t, "error", code + ": " + message);
  } else {
    tell(t, "info", "The job has " + status);
  }
  co_await keep(t);
  tunes_.erase(t->id);
}

// Data set, base and checkpoint to the pool; what is there is skipped.
awaitable<void> TuningService::stage(Self, TunePtr t) {
  const TuningJob job = *queue_.find(t->id);
  const auto pool = desk_.find_pool(job.pool);
  if (!pool) co_return queue_.on_stage_failed(t->id);
  const auto allowed = co_await desk_.use(t->file, t->payer, *pool, "finetune", t->id);
  if (!allowed) {
    const Errc why = errc_of(allowed.error());
    co_return co_await end(t, "failed", std::string(code(why)), make_error_code(why).message());
  }
  t->contract_header = allowed->header;
  std::uint64_t moved = 0;
  for (const std::string& name :
       {to_string(t->file.artefact), text_of(t->request["x_qanat"], "base_artefact"), job.checkpoint}) {
    const auto digest = parse_digest(name);
    if (!digest) continue;
    const Place to{pool->origin, pool->id};
    for (int tries = 0;; ++tries) {
      auto steering = std::make_shared<Steering>();
      steering->moved = [&moved](std::uint64_t bytes) { moved += bytes; };
      const auto done = co_await desk_.mover.push(to, *digest, ids::Tier::Bulk, steering);
      if (done) break;
      if (desk_.stopping) co_return;
      if (tries == kStageTries || queue_.find(t->id)->state != TuningState::Staging) {
        tell(t, "warn", "It cannot be brought to " + pool->id + ": " + done.error().message());
        co_return queue_.on_stage_failed(t->id);
      }
      co_await rest(desk_.io, kTick);
    }
  }
  tell(t, "info", fmt::format("Moved to {}: {} bytes, the rest was there", pool->id, moved));
  queue_.on_staged(t->id);
  co_await keep(t);
}

awaitable<void> TuningService::begin(Self, TunePtr t) {
  const TuningJob job = *queue_.find(t->id);
  const auto pool = desk_.find_pool(job.pool);
  if (!pool) co_return queue_.on_stage_failed(t->id);
  ordered_json body = t->request;
  body["x_qanat"]["step"] = job.step;
  if (!job.checkpoint.empty()) body["x_qanat"]["checkpoint"] = job.checkpoint;
  body["x_qanat"]["use"] = t->id;
  body["x_qanat"]["user"] = t->payer.tenant;
  const auto said = co_await ask(t, *pool, "POST", "/v1/fine_tuning/jobs", body.dump());
  const json answer = said ? json::parse(said->body, nullptr, false) : json();
  if (!said || said->status != 200 || !answer.is_object()) {
    const json error = answer.is_object() ? answer.value("error", json::object()) : json::object();
    const std::string why = error.is_object() ? error.value("code", "") : "";
    tell(t, "warn", pool->id + " does not take it: " + (why.empty() ? "no answer" : why));
    if (why.starts_with("contract_")) co_return co_await end(t, "failed", why, error.value("message", ""));
    co_return queue_.on_stage_failed(t->id);
  }
  t->pool_job = text_of(answer, "id");
  t->begun_at = job.step;
  t->heard = 0;
  t->deaf = 0;
  t->yielding = false;
  t->doc["status"] = "running";
  t->doc["x_qanat"]["ran_at"] = pool->id;
  t->doc["x_qanat"]["nano_per_token"] = t->price_at(pool->id);
  if (answer.contains("x_qanat")) {
    t->doc["x_qanat"]["steps"] = answer["x_qanat"].value("steps", 0ULL);
    t->doc["x_qanat"]["tokens_per_step"] = answer["x_qanat"].value("tokens_per_step", 0ULL);
  }
  tell(t, "info", fmt::format("Runs at {} from step {}", pool->id, job.step));
  co_await keep(t);
}

void TuningService::give_way(TunePtr t, const TuningAction& action) {
  t->yielding = true;
  if (action.why == TuningAction::Why::Asked) return;
  ordered_json& own = t->doc["x_qanat"];
  own["preempted"] = own.value("preempted", 0) + 1;
  tell(t, "info",
       action.why == TuningAction::Why::Priority
           ? "Gives way at " + action.pool + ": a job of higher priority needs the place"
           : "Gives way at " + action.pool + ": the place was borrowed, and its owner needs it");
}

awaitable<void> TuningService::run(Self self) {
  co_await take_up();
  // One of a job's steps at a time.
  const auto spawn = [this](TunePtr t, awaitable<void> work) {
    t->busy = true;
    asio::co_spawn(desk_.io, std::move(work), [t](std::exception_ptr error) {
      t->busy = false;
      if (!error) return;
      try {
        std::rethrow_exception(error);
      } catch (const std::exception& e) {
        base::log_error("{}: {}", t->id, e.what());
      }
    });
  };
  while (!desk_.stopping) {
    see_pools();
    queue_.turn();
    while (const auto action = queue_.poll_action()) {
      const auto found = tunes_.find(action->job);
      if (found == tunes_.end()) continue;
      const TunePtr t = found->second;
      if (action->kind == TuningAction::Kind::Stage) spawn(t, stage(self, t));
      if (action->kind == TuningAction::Kind::Start) spawn(t, begin(self, t));
      if (action->kind == TuningAction::Kind::Snapshot) give_way(t, *action);
    }
    const auto now = tunes_;
    for (const auto& [id, t] : now) {
      const TuningJob* job = queue_.find(id);
      const bool runs = job->state == TuningState::Running || job->state == TuningState::Yielding;
      t->idle = job->state == TuningState::Waiting ? t->idle + 1 : 0;
      if (t->idle == kLookAgain && !t->busy) {
        t->idle = 0;
        spawn(t, look_again(self, t));
      }
      if (t->busy || !runs || t->pool_job.empty()) continue;
      if (t->yielding) {
        t->yielding = false;
        if (const auto pool = desk_.find_pool(job->pool)) {
          const std::string target = "/v1/fine_tuning/jobs/" + t->pool_job + "/pause";
          co_await ask(t, *pool, "POST", target, "");
        }
      }
      spawn(t, listen(self, t));
    }
    co_await rest(desk_.io, kTick);
  }
}

// After a restart: what ran is listened to where it runs; what was on its way is begun again.
awaitable<void> TuningService::take_up() {
  for (const Document& d : co_await desk_.list("tune", "")) {
    auto t = std::make_shared<Tune>();
    const ordered_json j = t->restore(d);
    if (!j.is_object()) continue;
    t->doc = j["doc"];
    if (t->over()) continue;
    t->request = j["request"];
    t->events = j["events"];
    t->checkpoints = j["checkpoints"];
    t->wanted = j.value("wanted", std::vector<std::string>());
    t->pool_job = j.value("pool_job", "");
    t->begun_at = j.value("begun_at", std::uint64_t{0});
    t->billing = j.value("billing", decltype(t->billing)());
    const auto file = co_await desk_.find_file(j.value("file", ""), t->payer.tenant);
    if (file) t->file = *file;
    TuningJob job;
    job.id = d.id;
    job.tenant = d.tenant;
    job.priority = parse_priority(t->doc["x_qanat"].value("priority", "normal")).value_or(Priority::Normal);
    job.cheapest = t->doc["x_qanat"].value("prefer", "time") == "cost";
    job.tokens = t->doc["x_qanat"].value("tokens", 0ULL);
    job.steps = t->doc["x_qanat"].value("steps", 1ULL);
    job.pools = t->doc["x_qanat"].value("pools", std::vector<std::string>());
    job.step = j.value("step", std::uint64_t{0});
    job.checkpoint = j.value("checkpoint", "");
    job.moves = j.value("moves", 0u);
    const std::string state = j.value("state", "waiting");
    if ((state == "running" || state == "yielding") && !t->pool_job.empty()) {
      job.state = TuningState::Running;
      job.pool = j.value("pool", "");
    } else if (state == "paused") {
      job.state = TuningState::Paused;
    }
    t->held = t->dearest() * static_cast<meter::Nano>(job.tokens - t->tokens_at(t->begun_at));
    // It was let in: what it may cost is held again, whatever else has been let in since.
    if (co_await desk_.hold(t->payer, t->held)) desk_.settle(t->payer, -t->held, 0);
    co_await bill_again(t);
    tunes_[t->id] = t;
    queue_.add(std::move(job));
    tell(t, "info", "The gateway has begun anew; the job goes on");
  }
}

std::vector<Task> TuningService::tasks() const {
  std::vector<Task> list;
  for (const auto& [id, t] : tunes_) {
    const TuningJob* job = queue_.find(id);
    list.push_back({id, t->payer.tenant, "finetune", std::string(to_string(job->state)), job->pool,
                    t->doc["x_qanat"].value("step", job->step), job->steps, "steps"});
  }
  return list;
}

awaitable<bool> TuningService::cancel(std::string id) {
  const auto found = tunes_.find(id);
  if (found == tunes_.end()) co_return false;
  const TunePtr t = found->second;
  if (const auto pool = desk_.find_pool(queue_.find(id)->pool); pool && !t->pool_job.empty()) {
    const std::string target = "/v1/fine_tuning/jobs/" + t->pool_job + "/cancel";
    co_await ask(t, *pool, "POST", target, "");
  }
  if (!t->over()) co_await end(t, "cancelled", "", "");
  co_return true;
}

void TuningService::start() { asio::co_spawn(desk_.io, run(shared_from_this()), asio::detached); }

}  // namespace qanat::jobs
