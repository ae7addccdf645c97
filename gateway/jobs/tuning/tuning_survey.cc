// TuningService, who may train: pools are asked what a job would take there, when it comes and, where none of those that
// said yes is left, again.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "gateway/jobs/tuning/tune.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;

namespace {

bool names(const std::vector<std::string>& wanted, const PoolSite& pool) {
  return wanted.empty() || std::any_of(wanted.begin(), wanted.end(), [&](const std::string& name) {
           return name == pool.id || name == pool.site;
         });
}

}  // namespace

// Of the pools that are alive, wanted and have not said yes before.
awaitable<TuningService::Survey> TuningService::survey(TunePtr t, std::vector<std::string> known) {
  Survey survey;
  const std::string model = text_of(t->request, "model");
  for (const PoolSite& pool : desk_.pools()) {
    if (!pool.alive || !names(t->wanted, pool) ||
        std::find(known.begin(), known.end(), pool.id) != known.end() ||
        std::find(pool.models.begin(), pool.models.end(), model) == pool.models.end())
      continue;
    const auto allowed = co_await desk_.could_use(t->file, t->payer, pool, "finetune");
    if (!allowed) {
      survey.refused = errc_of(allowed.error());
      continue;
    }
    const auto estimate = co_await ask(t, pool, "POST", "/v1/fine_tuning/estimate", t->request.dump());
    const json answer = estimate ? json::parse(estimate->body, nullptr, false) : json();
    if (!estimate || estimate->status != 200 || !answer.is_object()) {
      if (answer.is_object()) survey.said = answer.value("error", json::object()).value("message", "");
      continue;
    }
    const Place to{pool.origin, pool.id};
    const auto missing = co_await desk_.mover.survey(to, t->file.artefact);
    if (!missing) continue;  // it keeps no artefacts, or does not trust us
    survey.offers.push_back({pool.id, *missing, answer.value("seconds", 1.0), answer.value("tokens", 1ULL),
                             answer.value("steps", 1ULL), pool.nano_per_token});
  }
  co_return survey;
}

// Pools that were not there when it was let in; never at more than was agreed then.
awaitable<void> TuningService::look_again(Self, TunePtr t) {
  const auto survey = co_await this->survey(t, queue_.find(t->id)->pools);
  bool more = false;
  for (const Offer& offer : survey.offers) {
    if (t->over() || offer.nano_per_token > t->dearest()) continue;
    queue_.allow(t->id, offer.pool, offer.to_move, offer.seconds);
    t->doc["x_qanat"]["pools"].push_back(offer.pool);
    t->doc["x_qanat"]["prices"][offer.pool] = offer.nano_per_token;
    tell(t, "info",
         offer.pool + " may train it too, at " + fmt::format("{}", offer.nano_per_token) + " nano a token");
    more = true;
  }
  if (more) co_await keep(t);
}

}  // namespace qanat::jobs
