// TuningService::Tune: one fine-tuning job as the service holds it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "gateway/jobs/kept_job.hh"
#include "gateway/jobs/tuning/tuning_service.hh"

namespace qanat::jobs {

inline constexpr std::size_t kMaxEvents = 2000;  // of a job that are kept

// `doc` is what the book keeps and the API shows; the rest follows from it.
struct TuningService::Tune : KeptJob {
  nlohmann::ordered_json doc;      // OpenAI's fields and x_qanat
  nlohmann::ordered_json request;  // as pools are asked
  nlohmann::ordered_json events = nlohmann::ordered_json::array(),
                         checkpoints = nlohmann::ordered_json::array();
  File file;
  std::vector<std::string> wanted;  // pools or sites that its tenant named; empty: any
  std::string contract_header;
  std::string pool_job;        // its name at the pool where it runs
  std::uint64_t begun_at = 0;  // step at which it began there, or up to which it is billed
  // Of begun_at, what may not be in the books yet, from step to step: kept before it is booked, so that a gateway that dies
  // in between books the same line again, which counts once.
  std::vector<std::pair<std::uint64_t, std::uint64_t>> billing;
  std::size_t heard = 0;  // of the pool's events
  int deaf = 0;
  meter::Nano held = 0;  // of what it may cost, what is not billed yet; in its tenant's budgets
  bool busy = false, yielding = false;
  bool ending = false;  // what it comes to is fixed, and being billed
  int idle = 0;         // rounds that it has waited

  // Tokens that so many steps train.
  std::uint64_t tokens_at(std::uint64_t step) const {
    const auto& own = doc["x_qanat"];
    return std::min(own.value("tokens", std::uint64_t{0}),
                    step * own.value("tokens_per_step", std::uint64_t{0}));
  }
  // A token's price, as it stood at each pool when the job was let in.
  std::int64_t price_at(const std::string& pool) const {
    return doc["x_qanat"].value("prices", nlohmann::ordered_json::object()).value(pool, std::int64_t{0});
  }
  std::int64_t dearest() const {
    const auto prices = doc["x_qanat"].value("prices", nlohmann::ordered_json::object());
    std::int64_t most = 0;
    for (const auto& [pool, nano] : prices.items()) most = std::max(most, nano.get<std::int64_t>());
    return most;
  }
  // What training from step to step costs, where it runs. One interval has one line: it is booked once.
  meter::ServiceLine line_of(std::uint64_t from, std::uint64_t to) const {
    const auto& own = doc["x_qanat"];
    meter::ServiceLine line;
    line.id = id + ":" + std::to_string(from) + "-" + std::to_string(to);
    line.kind = "finetune";
    line.subject = id;
    line.supplier = "pool:" + own.value("ran_at", "");
    line.quantity = tokens_at(to) - tokens_at(from);
    line.unit = "tokens";
    const meter::Nano amount =
        meter::Nano{own.value("nano_per_token", std::int64_t{0})} * static_cast<meter::Nano>(line.quantity);
    line.amount_nano = static_cast<std::int64_t>(std::min<meter::Nano>(amount, INT64_MAX));
    return line;
  }
  bool over() const {
    if (ending) return true;
    const auto& status = doc["status"].get_ref<const std::string&>();
    return status == "succeeded" || status == "failed" || status == "cancelled";
  }
};

// A member that is a string; "" where there is none.
inline std::string text_of(const nlohmann::json& j, const char* key) {
  const auto it = j.is_object() ? j.find(key) : j.end();
  return it != j.end() && it->is_string() ? it->get<std::string>() : std::string();
}

}  // namespace qanat::jobs
