// TuningService where a job runs: what its pool says of it, its checkpoints brought home, and its end.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.hh"
#include "gateway/jobs/tuning/tune.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr int kDeaf = 5;  // questions in a row without an answer: the pool is gone

}  // namespace

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
    if (!pulled || t->over()) co_return false;
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
  v.tenant = t->payer.tenant;
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
awaitable<void> TuningService::listen(Self, TunePtr t) {
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
    if (t->over()) co_return;
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
    if (t->over()) co_return;
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

}  // namespace qanat::jobs
