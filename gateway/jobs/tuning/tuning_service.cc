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
#include "gateway/jobs/artefact/chat_lines.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr base::Duration kTick = std::chrono::milliseconds{150};
constexpr int kDeaf = 5;         // questions in a row without an answer: the pool is gone
constexpr int kStageTries = 20;  // before another pool is tried
constexpr std::size_t kMaxEvents = 2000;

template <class T>
using awaitable = asio::awaitable<T>;

awaitable<void> rest(asio::io_context& io, base::Duration duration) {
  asio::steady_timer timer(io, duration);
  co_await timer.async_wait(asio::use_awaitable);
}

std::string text_of(const json& j, const char* key) {
  const auto it = j.is_object() ? j.find(key) : j.end();
  return it != j.end() && it->is_string() ? it->template get<std::string>() : std::string();
}

// The first thing that is wrong with a training file, and its tokens; a chunk at a time, so that others get their turn.
awaitable<std::pair<std::string, std::uint64_t>> check_lines(Desk& desk, Digest id) {
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

// One job. `doc` is what the book keeps and the API shows; the rest follows from it.
struct TuningService::Tune {
  std::string id, tenant, project, key;
  std::int64_t created_ms = 0;
  ordered_json doc;      // OpenAI's fields and x_qanat
  ordered_json request;  // as pools are asked
  ordered_json events = ordered_json::array(), checkpoints = ordered_json::array();
  File file;
  std::string contract_header;
  std::string pool_job;        // its name at the pool where it runs
  std::uint64_t begun_at = 0;  // step at which it began there
  std::size_t heard = 0;       // of the pool's events
  int deaf = 0;
  bool busy = false, yielding = false;

  Caller caller() const {
    Caller c;
    c.tenant = tenant;
    c.project = project;
    c.key = key;
    return c;
  }
  bool over() const {
    const auto& status = doc["status"].get_ref<const std::string&>();
    return status == "succeeded" || status == "failed" || status == "cancelled";
  }
};

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
  body["project"] = t->project;
  body["key"] = t->key;
  body["pool_job"] = t->pool_job;
  body["begun_at"] = t->begun_at;
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
  Document d;
  d.id = t->id;
  d.tenant = t->tenant;
  d.created_unix_ms = t->created_ms;
  d.body = body.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  co_await desk_.save("tune", std::move(d));
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
  const std::string at = t->doc["x_qanat"].value("ran_at", "");
  const std::uint64_t per_step = t->doc["x_qanat"].value("tokens_per_step", std::uint64_t{0});
  const std::uint64_t all = t->doc["x_qanat"].value("tokens", std::uint64_t{0});
  meter::ServiceLine line;
  line.id = fmt::format("{}:{}-{}", t->id, t->begun_at, job->step);
  line.tenant = t->tenant;
  line.project = t->project;
  line.kind = "finetune";
  line.subject = t->id;
  line.supplier = "pool:" + at;
  line.quantity = std::min(all, job->step * per_step) - std::min(all, t->begun_at * per_step);
  line.unit = "tokens";
  const meter::Nano amount = meter::Nano{t->doc["x_qanat"].value("nano_per_token", std::int64_t{0})} *
                             static_cast<meter::Nano>(line.quantity);
  line.amount_nano = static_cast<std::int64_t>(std::min<meter::Nano>(amount, INT64_MAX));
  line.unix_ms = unix_ms();
  t->begun_at = job->step;
  co_await desk_.bill(std::move(line));
}

awaitable<void> TuningService::end(TunePtr t, std::string status, std::string code, std::string message) {
  co_await bill(t);
  queue_.on_ended(t->id);
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
awaitable<void> TuningService::stage(Self self, TunePtr t) {
  const TuningJob job = *queue_.find(t->id);
  const auto pool = desk_.find_pool(job.pool);
  if (!pool) co_return queue_.on_stage_failed(t->id);
  const auto allowed = co_await desk_.use(t->file, t->caller(), *pool, "finetune", t->id);
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

awaitable<void> TuningService::begin(Self self, TunePtr t) {
  const TuningJob job = *queue_.find(t->id);
  const auto pool = desk_.find_pool(job.pool);
  if (!pool) co_return queue_.on_stage_failed(t->id);
  ordered_json body = t->request;
  body["x_qanat"]["step"] = job.step;
  if (!job.checkpoint.empty()) body["x_qanat"]["checkpoint"] = job.checkpoint;
  body["x_qanat"]["use"] = t->id;
  body["x_qanat"]["user"] = t->tenant;
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
  t->doc["x_qanat"]["nano_per_token"] = pool->nano_per_token;
  if (answer.contains("x_qanat")) {
    t->doc["x_qanat"]["steps"] = answer["x_qanat"].value("steps", 0ULL);
    t->doc["x_qanat"]["tokens_per_step"] = answer["x_qanat"].value("tokens_per_step", 0ULL);
  }
  tell(t, "info", fmt::format("Runs at {} from step {}", pool->id, job.step));
  co_await keep(t);
}

// Checkpoints that the pool has written, newest first, until one that is here already. False: the pool did not answer.
// `at_pool`: the newest there that is complete.
awaitable<bool> TuningService::bring_home(TunePtr t, PoolSite pool, std::uint64_t& at_pool) {
  const auto said = co_await ask(t, pool, "GET", "/v1/fine_tuning/jobs/" + t->pool_job + "/checkpoints", "");
  const json list = said && said->status == 200 ? json::parse(said->body, nullptr, false) : json();
  if (!list.is_object()) co_return false;
  for (const json& one : list.value("data", json::array())) {
    const auto digest = parse_digest(text_of(one, "artefact"));
    const std::uint64_t step = one.value("step_number", std::uint64_t{0});
    if (!digest) continue;
    at_pool = std::max(at_pool, step);
    if (step <= queue_.find(t->id)->step) break;
    const Place from{pool.origin, pool.id};
    const auto pulled = co_await desk_.mover.pull(from, *digest, ids::Tier::Bulk);
    if (!pulled) co_return false;
    queue_.on_checkpoint(t->id, step, to_string(*digest));
    t->checkpoints.push_back({{"object", "fine_tuning.job.checkpoint"},
                              {"id", fmt::format("ftckpt-{}-{}", t->id, step)},
                              {"created_at", unix_ms() / 1000},
                              {"fine_tuning_job_id", t->id},
                              {"fine_tuned_model_checkpoint", to_string(*digest)},
                              {"step_number", step},
                              {"metrics", one.value("metrics", json::object())}});
    co_await keep(t);
    break;
  }
  co_return true;
}

awaitable<void> TuningService::succeed(TunePtr t, PoolSite pool, std::string result) {
  ModelVersion v;
  v.base = text_of(t->request, "model");
  std::string suffix = text_of(t->request, "suffix").substr(0, 24);
  for (char& c : suffix)
    c = std::isalnum(static_cast<unsigned char>(c))
            ? static_cast<char>(std::tolower(static_cast<unsigned char>(c)))
            : '-';
  v.name = "ft-" + (suffix.empty() ? std::string("model") : suffix) + "-" + t->id.substr(t->id.size() - 12);
  v.tenant = t->tenant;
  v.job = t->id;
  v.artefact = parse_digest(result).value_or(Digest{});
  v.created_unix_ms = unix_ms();
  for (const auto& event : t->events) {
    if (!event.contains("data")) continue;
    const double loss = event["data"].value("train_loss", 0.0);
    if (v.loss_before == 0) v.loss_before = loss;
    v.loss_after = loss;
  }
  t->doc["fine_tuned_model"] = v.name;
  t->doc["trained_tokens"] = t->doc["x_qanat"].value("tokens", 0ULL);
  t->doc["result_files"] = ordered_json::array();
  t->doc["x_qanat"]["result"] = result;
  t->doc["x_qanat"]["before"] = {{"train_loss", v.loss_before}};
  t->doc["x_qanat"]["after"] = {{"train_loss", v.loss_after}};
  co_await models_->add(v);
  // Confidential: no copy stays where it was used.
  if (!t->contract_header.empty()) {
    const auto contract = desk_.store.contract_of(t->contract_header);
    if (contract && contract->data_class == DataClass::Confidential) {
      const Place at{pool.origin, pool.id};
      const auto receipt = co_await desk_.mover.remove(at, t->file.artefact);
      t->doc["x_qanat"]["deletion"] =
          receipt ? ordered_json::parse(*receipt, nullptr, false) : ordered_json();
      tell(t, receipt ? "info" : "warn",
           receipt ? pool.id + " attests that it deleted the data"
                   : pool.id + " did not say that it deleted the data");
    }
  }
  co_await end(t, "succeeded", "", "");
}

// One look at the pool where it runs.
awaitable<void> TuningService::listen(Self self, TunePtr t) {
  const std::string at = queue_.find(t->id)->pool;
  const auto pool = desk_.find_pool(at);
  const std::string path = "/v1/fine_tuning/jobs/" + t->pool_job;
  Result<base::ClientResponse> said = Errc::NoRoute;
  if (pool) {
    auto got = co_await ask(t, *pool, "GET", path, "");
    said = std::move(got);
  }
  const json answer = said && said->status == 200 ? json::parse(said->body, nullptr, false) : json();
  std::uint64_t at_pool = 0;
  // A pool that has begun anew does not know the job: gone is gone.
  const bool forgotten = said && said->status == 404;
  if (answer.is_object()) {
    if (!co_await bring_home(t, *pool, at_pool)) co_return;
    const auto heard = co_await ask(t, *pool, "GET", path + "/events", "");
    const json events = heard && heard->status == 200 ? json::parse(heard->body, nullptr, false) : json();
    if (events.is_object()) {
      const json& data = events["data"];  // newest first
      for (std::size_t i = t->heard; i < data.size(); ++i)
        if (t->events.size() < kMaxEvents) t->events.push_back(ordered_json(data[data.size() - 1 - i]));
      t->heard = std::max(t->heard, data.size());
    }
  }
  const TuningJob* job = queue_.find(t->id);
  if (job->pool != at || t->over()) co_return;  // something else came meanwhile
  if (!answer.is_object()) {
    if (!forgotten && ++t->deaf < kDeaf) co_return;
    tell(t, "warn",
         at + (forgotten ? " has forgotten it" : " is gone") +
             fmt::format(": again from the checkpoint at step {}", job->step));
    base::log_warn("{}: {} is gone, from step {} elsewhere", t->id, at, job->step);
    co_await bill(t);
    if (forgotten)
      queue_.on_stage_failed(t->id);
    else
      queue_.on_pool_gone(at);
    t->pool_job.clear();
    t->doc["status"] = "queued";
    co_return co_await keep(t);
  }
  t->deaf = 0;
  const std::string status = text_of(answer, "status");
  const json own = answer.value("x_qanat", json::object());
  t->doc["x_qanat"]["step"] = own.value("step", std::uint64_t{0});
  t->doc["estimated_finish"] = answer.value("estimated_finish", json());
  if (status == "failed") {
    const json error = answer.value("error", json::object());
    const std::string why = error.is_object() ? error.value("code", "failed") : std::string("failed");
    const std::string message = error.is_object() ? error.value("message", "") : std::string();
    co_return co_await end(t, "failed", why, message);
  }
  if (status == "succeeded") {
    const std::string result = text_of(own, "result");
    if (result.empty() || job->checkpoint != result) co_return;  // not home yet
    co_return co_await succeed(t, *pool, result);
  }
  if (job->state == TuningState::Yielding && status == "paused" &&
      job->step >= own.value("step", std::uint64_t{0})) {
    co_await ask(t, *pool, "POST", path + "/cancel", "");
    co_await bill(t);
    queue_.on_yielded(t->id);
    t->pool_job.clear();
    const bool paused = queue_.find(t->id)->state == TuningState::Paused;
    t->doc["status"] = paused ? "paused" : "queued";
    tell(t, "info",
         fmt::format("{} at step {}, which is kept", paused ? "Paused" : "Gave way",
                     queue_.find(t->id)->step));
    co_await keep(t);
  }
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
      if (action->kind == TuningAction::Kind::Snapshot) t->yielding = true;
    }
    const auto now = tunes_;
    for (const auto& [id, t] : now) {
      const TuningJob* job = queue_.find(id);
      const bool runs = job->state == TuningState::Running || job->state == TuningState::Yielding;
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
    const ordered_json j = ordered_json::parse(d.body, nullptr, false);
    if (!j.is_object()) continue;
    auto t = std::make_shared<Tune>();
    t->id = d.id;
    t->tenant = d.tenant;
    t->created_ms = d.created_unix_ms;
    t->doc = j["doc"];
    if (t->over()) continue;
    t->request = j["request"];
    t->events = j["events"];
    t->checkpoints = j["checkpoints"];
    t->project = j.value("project", "default");
    t->key = j.value("key", "");
    t->pool_job = j.value("pool_job", "");
    t->begun_at = j.value("begun_at", std::uint64_t{0});
    const auto file = co_await desk_.find_file(j.value("file", ""), t->tenant);
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
    tunes_[t->id] = t;
    queue_.add(std::move(job));
    tell(t, "info", "The gateway has begun anew; the job goes on");
  }
}

void TuningService::start() { asio::co_spawn(desk_.io, run(shared_from_this()), asio::detached); }

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
    const auto wanted = own.value("pools", std::vector<std::string>());
    Errc refused = Errc::NoRoute;
    std::string said;
    double fastest = 0;
    for (const PoolSite& pool : desk.pools()) {
      const bool named = wanted.empty() || std::find(wanted.begin(), wanted.end(), pool.id) != wanted.end() ||
                         std::find(wanted.begin(), wanted.end(), pool.site) != wanted.end();
      if (!named || !pool.alive ||
          std::find(pool.models.begin(), pool.models.end(), model) == pool.models.end())
        continue;
      const auto allowed = co_await desk.could_use(*file, caller, pool, "finetune");
      if (!allowed) {
        refused = errc_of(allowed.error());
        continue;
      }
      t->file = *file;
      const auto estimate =
          co_await self->ask(t, pool, "POST", "/v1/fine_tuning/estimate", t->request.dump());
      const json answer = estimate ? json::parse(estimate->body, nullptr, false) : json();
      if (!estimate || estimate->status != 200 || !answer.is_object()) {
        if (answer.is_object()) said = answer.value("error", json::object()).value("message", "");
        continue;
      }
      const Place to{pool.origin, pool.id};
      const auto missing = co_await desk.mover.survey(to, file->artefact);
      if (!missing) continue;  // it keeps no artefacts, or does not trust us
      job.to_move[pool.id] = *missing;
      job.seconds[pool.id] = answer.value("seconds", 1.0);
      job.tokens = answer.value("tokens", 1ULL);
      job.steps = answer.value("steps", 1ULL);
      if (fastest == 0 || job.seconds[pool.id] < fastest) fastest = job.seconds[pool.id];
      job.pools.push_back(pool.id);
    }
    if (job.pools.empty()) {
      // A refusal by a contract is a use that was refused: it is in the tree.
      if (!clause(refused).empty()) {
        const auto pool = wanted.empty() ? std::nullopt : desk.find_pool(wanted.front());
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
    t->tenant = caller.tenant;
    t->project = caller.project;
    t->key = caller.key;
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
                         {"moves", 0}};
    self->queue_.add(job);
    self->tunes_[t->id] = t;
    self->tell(t, "info", fmt::format("{} is good: {} tokens to train", file->name, job.tokens));
    const std::string body = t->doc.dump();
    co_await self->keep(t);
    co_await out.json(200, body);
  }

  static asio::awaitable<void> list(Self self, Caller caller, base::Request&, base::Responder& out) {
    ordered_json data = ordered_json::array();
    for (const Document& d : co_await self->desk_.list("tune", caller.tenant)) {
      const auto live = self->tunes_.find(d.id);
      data.push_back(live != self->tunes_.end() ? live->second->doc
                                                : ordered_json::parse(d.body).value("doc", ordered_json()));
    }
    const ordered_json body{{"object", "list"}, {"data", std::move(data)}, {"has_more", false}};
    co_await out.json(200, body.dump());
  }

  static asio::awaitable<void> get(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string id(in.capture("id")), verb(in.capture("verb"));
    ordered_json doc, events, checkpoints;
    if (const auto live = self->tunes_.find(id);
        live != self->tunes_.end() && live->second->tenant == caller.tenant) {
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
    const ordered_json body{{"object", "list"}, {"data", std::move(newest)}, {"has_more", false}};
    co_await out.json(200, body.dump());
  }

  static asio::awaitable<void> turn(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string verb(in.capture("verb"));
    const auto found = self->tunes_.find(std::string(in.capture("id")));
    if (found == self->tunes_.end() || found->second->tenant != caller.tenant)
      co_return void(co_await out.error(404, "not_found", "no such fine-tuning job is under way"));
    const TunePtr t = found->second;
    if (verb == "pause") {
      self->queue_.pause(t->id);
      if (self->queue_.find(t->id)->state == TuningState::Paused) t->doc["status"] = "paused";
    } else if (verb == "resume") {
      self->queue_.resume(t->id);
      if (t->doc["status"] == "paused") t->doc["status"] = "queued";
    } else if (verb == "cancel") {
      const auto pool = self->desk_.find_pool(self->queue_.find(t->id)->pool);
      if (pool && !t->pool_job.empty()) {
        const std::string target = "/v1/fine_tuning/jobs/" + t->pool_job + "/cancel";
        co_await self->ask(t, *pool, "POST", target, "");
      }
      if (!t->over()) co_await self->end(t, "cancelled", "", "");
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
