// Desk: what the services of jobs and data share at a gateway: the books, the store, the mover, the pools as they are
// known now, who calls, and the one way in which an artefact's use is judged and written into the audit tree.
// One io_context, one thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/http_server.hh"
#include "gateway/audit/audit_tree.hh"
#include "gateway/jobs/artefact/site_store.hh"
#include "gateway/jobs/contract/contract.hh"
#include "gateway/jobs/express/mover.hh"
#include "gateway/jobs/job_book.hh"
#include "gateway/meter/ledger_thread.hh"
#include "gateway/meter/service_line.hh"

namespace qanat::jobs {

// Who asks, by its key.
struct Caller {
  std::string tenant, project, key;
};

// Why a caller may not begin something: an account of its own whose budget has not so much left.
struct Lack {
  std::string account;
  meter::Nano left = 0, limit = 0, needed = 0;
};

// A pool that artefacts and jobs can go to.
struct PoolSite {
  std::string id, site, origin, node;
  std::string location;  // C-URL labels, the most specific first
  bool alive = false;
  std::vector<std::string> models;
  std::int64_t nano_per_token = 0;  // of a trained token: its price of an input token
};

// What is under way for some tenant, as who runs the gateway sees it.
struct Task {
  std::string id, tenant, kind, state;  // kind: "transfer", "spread", "finetune"
  std::string at;                       // the pool; of a spread those that have not all yet
  std::uint64_t done = 0, of = 0;
  std::string unit;  // "bytes", "steps"
};

// A tenant's file, data set or result: a name for an artefact in this gateway's store.
struct File {
  std::string id, tenant, name, purpose, status;  // status: "uploading", "processed"
  Digest artefact;
  std::uint64_t bytes = 0;
  std::int64_t created_unix_ms = 0;
};

class Desk {
 public:
  // `leaves`: of the audit tree, as the book has them.
  Desk(boost::asio::io_context& io, meter::LedgerThread& ledger, const SiteConfig& site,
       const std::vector<std::string>& leaves);

  boost::asio::io_context& io;
  meter::LedgerThread& ledger;
  SiteStore store;
  Mover mover;
  std::string gateway;
  bool stopping = false;
  // Set by who wires the gateway.
  // Nobody: the request has been answered.
  std::function<boost::asio::awaitable<std::optional<Caller>>(base::Request&, base::Responder&)> caller;
  std::function<std::vector<PoolSite>()> pools;
  // Holds what something may cost in the budgets of the caller's tenant, project and key; or says which of them has not so
  // much left.
  std::function<boost::asio::awaitable<std::optional<Lack>>(Caller, meter::Nano)> hold;
  // Of what was held, so much is held no longer, and so much was spent.
  std::function<void(const Caller&, meter::Nano held, meter::Nano spent)> settle;

  // By its id, or as the name of a site: the first pool there that is alive.
  std::optional<PoolSite> find_pool(const std::string& name) const;
  // The same after a start, when it may not have been heard of yet: waits some seconds for it.
  boost::asio::awaitable<std::optional<PoolSite>> await_pool(std::string name) const;

  boost::asio::awaitable<void> save(std::string kind, Document document);
  boost::asio::awaitable<std::optional<Document>> load(std::string kind, std::string id);
  boost::asio::awaitable<std::vector<Document>> list(std::string kind, std::string tenant);
  boost::asio::awaitable<bool> erase(std::string kind, std::string id);
  // Into the books, and from what is held for it into what is spent: once, whatever is replayed. While the ledger cannot be
  // written it waits; throws StoreError if the gateway ends meanwhile.
  boost::asio::awaitable<void> bill(Caller payer, meter::ServiceLine line);

  boost::asio::awaitable<void> save_file(File file);
  // By id, by its artefact's digest, or by name among the tenant's own: the newest.
  boost::asio::awaitable<std::optional<File>> find_file(std::string name, std::string tenant);

  // A use of somebody's artefact. The owner needs no contract; anybody else the first of the artefact's contracts that
  // allows it. Whatever comes of it is a leaf of the audit tree before this returns. `pool` empty: at this gateway.
  struct Allowed {
    std::string contract;  // its id; empty for the owner
    std::string header;    // as the pool is shown it
  };
  boost::asio::awaitable<Result<Allowed>> use(File file, Caller caller, PoolSite at, std::string purpose,
                                              std::string use);
  // The same judgement, and no leaf: where could it be used?
  boost::asio::awaitable<Result<void>> could_use(File file, Caller caller, PoolSite at, std::string purpose);

  const audit::AuditTree& tree() const { return tree_; }

 private:
  audit::AuditTree tree_;
};

// 429 with the account and what is left of its budget.
boost::asio::awaitable<void> refuse(base::Responder& out, Lack lack);

std::string to_file_json(const File& file);  // as OpenAI's API shows one
std::int64_t unix_ms();
// "file-", "job-" … and 24 hexadecimal digits of randomness.
std::string fresh_id(const std::string& prefix);

// A tenant's route: without a good key it is a 401. Handlers are plain functions: coroutines that outlive the request's
// lambda keep their service by the first parameter.
template <class Service>
using Handler = boost::asio::awaitable<void> (*)(std::shared_ptr<Service>, Caller, base::Request&,
                                                 base::Responder&);

template <class Service>
boost::asio::awaitable<void> serve(const Desk& desk, std::shared_ptr<Service> self, Handler<Service> handler,
                                   base::Request& in, base::Responder& out) {
  auto caller = co_await desk.caller(in, out);
  if (caller) co_await handler(std::move(self), std::move(*caller), in, out);
}

template <class Service>
void route(base::HttpServer& server, const Desk& desk, std::string_view method, std::string_view pattern,
           std::shared_ptr<Service> self, std::type_identity_t<Handler<Service>> handler,
           std::size_t body_bytes = 0) {
  server.route(
      method, pattern,
      [self, handler, &desk](base::Request& in, base::Responder& out) {
        return serve(desk, self, handler, in, out);
      },
      body_bytes);
}

}  // namespace qanat::jobs
