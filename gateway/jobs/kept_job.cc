#include "gateway/jobs/kept_job.hh"

#include <utility>

namespace qanat::jobs {

using boost::asio::awaitable;
using nlohmann::ordered_json;

namespace {

// What the API shows of it: all of the body, or its `doc`.
ordered_json shown(const Document& kept) {
  ordered_json body = ordered_json::parse(kept.body, nullptr, false);
  return body.is_object() && body.contains("doc") ? body["doc"] : body;
}

struct Routes {
  KeptJobs jobs;
  std::function<void(const std::string& id)> cancel;

  using Self = std::shared_ptr<Routes>;
  static awaitable<void> list(Self self, Caller caller, base::Request&, base::Responder& out) {
    const ordered_json all = co_await self->jobs.all(caller.tenant);
    co_await out.json(200, all.dump());
  }
  static awaitable<void> get(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const ordered_json one = co_await self->jobs.one(std::string(in.capture("id")), caller.tenant);
    if (one.is_null()) co_return void(co_await out.error(404, "not_found", "no such " + self->jobs.kind));
    co_await out.json(200, one.dump());
  }
  static awaitable<void> end(Self self, Caller caller, base::Request& in, base::Responder& out) {
    const std::string id(in.capture("id"));
    if (self->jobs.now(id, caller.tenant).is_null())
      co_return void(co_await out.error(404, "not_found", "no such " + self->jobs.kind + " is under way"));
    self->cancel(id);
    co_await out.json(200, self->jobs.now(id, caller.tenant).dump());
  }
};

}  // namespace

Document KeptJob::document(ordered_json body) const {
  body["project"] = payer.project;
  body["key"] = payer.key;
  return {id, payer.tenant, created_ms, body.dump(-1, ' ', false, ordered_json::error_handler_t::replace)};
}

ordered_json KeptJob::restore(const Document& kept) {
  ordered_json body = ordered_json::parse(kept.body, nullptr, false);
  if (!body.is_object()) return nullptr;
  id = kept.id;
  created_ms = kept.created_unix_ms;
  payer = {kept.tenant, body.value("project", "default"), body.value("key", "")};
  return body;
}

awaitable<ordered_json> KeptJobs::all(std::string tenant) const {
  ordered_json list = ordered_json::array();
  for (const Document& kept : co_await desk.list(kind, tenant)) {
    ordered_json stands = now(kept.id, tenant);
    list.push_back(stands.is_null() ? shown(kept) : std::move(stands));
  }
  co_return list;
}

awaitable<ordered_json> KeptJobs::one(std::string id, std::string tenant) const {
  ordered_json stands = now(id, tenant);
  if (!stands.is_null()) co_return stands;
  const auto kept = co_await desk.load(kind, id);
  if (!kept || kept->tenant != tenant) co_return nullptr;
  // It may have begun, or ended, meanwhile.
  stands = now(id, tenant);
  co_return stands.is_null() ? shown(*kept) : stands;
}

void add_kept_routes(base::HttpServer& server, const std::string& path, KeptJobs jobs,
                     std::function<void(const std::string& id)> cancel) {
  const auto self = std::make_shared<Routes>(Routes{std::move(jobs), std::move(cancel)});
  const Desk& desk = self->jobs.desk;
  route(server, desk, "GET", path, self, Routes::list);
  route(server, desk, "GET", path + "/{id}", self, Routes::get);
  route(server, desk, "DELETE", path + "/{id}", self, Routes::end);
}

}  // namespace qanat::jobs
