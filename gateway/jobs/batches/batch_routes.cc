// The routes of BatchesService: a batch is kept before it is answered.
#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "gateway/jobs/batches/batch.hh"
#include "gateway/jobs/page.hh"

namespace qanat::jobs {
namespace asio = boost::asio;
using asio::awaitable;
using nlohmann::json;
using nlohmann::ordered_json;

namespace {

constexpr std::array kEndpoints = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings",
                                   "/v1/responses"};
constexpr std::int64_t kWindow_s = 24 * 3600;

awaitable<void> bad(base::Responder& out, std::string code, std::string message) {
  co_await out.error(400, code, message);
}
awaitable<void> no_batch(base::Responder& out) {
  co_await out.error(404, "not_found", "no such batch", "GET /v1/batches lists them");
}

std::string text_at(const json& object, const char* key) {
  return object.is_object() && object.contains(key) && object[key].is_string()
             ? object[key].get<std::string>()
             : "";
}

}  // namespace

struct BatchesService::Routes {
  static awaitable<void> create(Self self, Caller caller, base::Request& in, base::Responder& out) {
    Desk& desk = self->desk_;
    const json asked = json::parse(in.body, nullptr, false);
    const std::string input = text_at(asked, "input_file_id"), endpoint = text_at(asked, "endpoint");
    if (input.empty() || endpoint.empty())
      co_return co_await bad(out, "missing_required_parameter",
                             "'input_file_id', 'endpoint' and 'completion_window' are required");
    if (std::find(kEndpoints.begin(), kEndpoints.end(), endpoint) == kEndpoints.end())
      co_return co_await bad(
          out, "invalid_value",
          "'endpoint' is /v1/chat/completions, /v1/completions, /v1/embeddings or /v1/responses");
    if (text_at(asked, "completion_window") != "24h")
      co_return co_await bad(out, "invalid_value", "'completion_window' is 24h");
    if (asked.contains("metadata") && !asked["metadata"].is_object() && !asked["metadata"].is_null())
      co_return co_await bad(out, "invalid_type", "'metadata' is an object of strings");
    const auto file = co_await desk.find_file(input, caller.tenant);
    if (!file || file->tenant != caller.tenant || file->status != "processed")
      co_return co_await refuse(out, Errc::NoSuchArtefact, "no file '" + input + "' that is complete");
    if (file->bytes > kMaxBatchBytes)
      co_return co_await bad(out, "invalid_value",
                             "a batch's file has at most " + std::to_string(kMaxBatchBytes) + " bytes");
    auto b = std::make_shared<Batch>();
    b->id = fresh_id("batch_");
    b->payer = caller;
    b->created_ms = unix_ms();
    const std::int64_t now_s = b->created_ms / 1000;
    b->doc = {{"id", b->id},
              {"object", "batch"},
              {"endpoint", endpoint},
              {"input_file_id", file->id},
              {"completion_window", "24h"},
              {"status", "validating"},
              {"created_at", now_s},
              {"expires_at", now_s + kWindow_s},
              {"metadata", asked.contains("metadata") ? ordered_json(asked["metadata"]) : ordered_json()}};
    co_await self->keep(b);
    self->batches_.emplace(b->id, b);
    co_await out.json(200, b->shown().dump());
  }

  static KeptJobs kept(Self self) {
    const auto now = [self](const std::string& id, const std::string& tenant) {
      const auto live = self->batches_.find(id);
      return live == self->batches_.end() || live->second->payer.tenant != tenant ? ordered_json()
                                                                                  : live->second->shown();
    };
    return {self->desk_, "batch", now};
  }

  static awaitable<void> get(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const KeptJobs batches = kept(self);
    const ordered_json found = co_await batches.one(std::string(in.capture("id")), caller.tenant);
    if (found.is_null()) co_return co_await no_batch(out);
    co_await out.json(200, found.dump());
  }

  static awaitable<void> cancel(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string id(in.capture("id"));
    const KeptJobs batches = kept(self);
    const ordered_json before = co_await batches.one(id, caller.tenant);
    if (before.is_null()) co_return co_await no_batch(out);
    const bool ended = co_await self->cancel(id);
    if (!ended)
      co_return void(co_await out.error(
          409, "batch_is_over", "the batch is " + before.value("status", "") + ", and cannot be cancelled"));
    const ordered_json now = co_await batches.one(id, caller.tenant);
    co_await out.json(200, now.dump());
  }

  static awaitable<void> list(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const KeptJobs batches = kept(self);
    ordered_json data = co_await batches.all(caller.tenant);
    co_await send_page(in, out, std::move(data));
  }
};

void BatchesService::add_routes(base::HttpServer& server) {
  const auto self = shared_from_this();
  route(server, desk_, "POST", "/v1/batches", self, Routes::create);
  route(server, desk_, "GET", "/v1/batches", self, Routes::list);
  route(server, desk_, "GET", "/v1/batches/{id}", self, Routes::get);
  route(server, desk_, "POST", "/v1/batches/{id}/cancel", self, Routes::cancel);
}

}  // namespace qanat::jobs
