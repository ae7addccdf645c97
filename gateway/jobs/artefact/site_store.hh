// SiteStore: a site's artefacts over HTTP, for gateways that show a ticket: chunks in and out, deletion with a signed
// receipt, contracts' revocation. The same at gateways and pools.
//
//   GET    /qanat/v1/store                      {site, public_key, used_bytes, quota_bytes}; for anybody
//   PUT    /qanat/v1/store/{id}                 body: the manifest → {missing: [numbers]}        ticket "put"
//   PUT    /qanat/v1/store/{id}/{number}        body: the chunk                                  ticket "put"
//   GET    /qanat/v1/store/{id}, …/{number}     the manifest, a chunk                            ticket "get"
//   GET    /qanat/v1/store/{id}/missing         {missing_bytes, fetching}; 404: unknown here     ticket "get"
//   POST   /qanat/v1/store/{id}/fetch           {origin, ticket}: from there, by that ticket     ticket "put"
//   DELETE /qanat/v1/store/{id}                 → a receipt                                      ticket "delete"
//   POST   /qanat/v1/store/contracts/{contract}/revoke                                           ticket "revoke"
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/http_client.hh"
#include "gateway/jobs/artefact/store_thread.hh"
#include "gateway/jobs/artefact/ticket.hh"
#include "gateway/jobs/jobs_config.hh"
#include "gateway/meter/signing_key.hh"

namespace qanat::base {
class Headers;
class HttpServer;
class Responder;
}  // namespace qanat::base

namespace qanat::jobs {

class SiteStore {
 public:
  // Throws std::system_error. Its key is FOLDER/key.pem, made when there is none.
  SiteStore(boost::asio::io_context& io, const SiteConfig& config);

  void add_routes(base::HttpServer& server, std::shared_ptr<void> owner);
  // Told when a contract is revoked, after that is durable.
  void on_revoked(std::function<void(const std::string& contract)> callback) {
    revoked_ = std::move(callback);
  }

  // Whether the request's ticket says this of the subject, signed by a gateway that is trusted here.
  Result<void> admit(const base::Headers& headers, std::string_view verb, std::string_view subject) const;
  // The same; who it is from.
  Result<std::string> issuer(const base::Headers& headers, std::string_view verb,
                             std::string_view subject) const;
  // A contract as it travels (x-qanat-contract: base64url(text) "." signature), signed by a gateway that is trusted.
  Result<Contract> contract_of(std::string_view header) const;
  bool trusted(std::string_view text, std::string_view signature) const;

  StoreThread& thread() { return *thread_; }
  const meter::SigningKey& key() const { return key_; }
  const SiteConfig& config() const { return config_; }

 private:
  struct Routes;
  boost::asio::io_context& io_;
  SiteConfig config_;
  std::shared_ptr<StoreThread> thread_;
  meter::SigningKey key_;
  base::HttpClient client_;         // to other sites' stores
  std::set<std::string> fetching_;  // digests on their way here from another site
  std::function<void(const std::string&)> revoked_;
};

// "base64url(text).signature", as tickets and contracts travel.
std::string sealed(const meter::SigningKey& key, std::string_view text);
// {"error":{…}} with the code's own status.
boost::asio::awaitable<void> refuse(base::Responder& out, Errc error, std::string message = {});

}  // namespace qanat::jobs
