// KeptJob: what every job has that is carried on beside requests (a transfer, a spread, a batch, a fine-tune): whose it is,
// how the book keeps it, how its tenant is shown it. The book has it before anybody hears of it; what is under way stands
// as its service says, what is over as it was kept.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "gateway/jobs/desk.hh"

namespace qanat::jobs {

struct KeptJob {
  std::string id;
  Caller payer;
  std::int64_t created_ms = 0;

  // `body`, and with it who pays.
  Document document(nlohmann::ordered_json body) const;
  // From the book, after a restart; answers the body, null if it cannot be read.
  nlohmann::ordered_json restore(const Document& kept);
};

// One kind of them at this gateway.
struct KeptJobs {
  Desk& desk;
  std::string kind;  // "transfer": in the book, and in words
  // As the tenant's job stands now; null: it has none of that id that is under way.
  std::function<nlohmann::ordered_json(const std::string& id, const std::string& tenant)> now;

  // Newest first; and one, null if the tenant has none of that id.
  boost::asio::awaitable<nlohmann::ordered_json> all(std::string tenant) const;
  boost::asio::awaitable<nlohmann::ordered_json> one(std::string id, std::string tenant) const;
};
// GET of all and of one, DELETE of one that is under way, which `cancel` ends; `jobs.now` keeps its service alive.
void add_kept_routes(base::HttpServer& server, const std::string& path, KeptJobs jobs,
                     std::function<void(const std::string& id)> cancel);

}  // namespace qanat::jobs
