// ContractsService: owners lend artefacts on terms, take them back, and see every use that was made or refused; anybody
// of the tenants can hold the report against the audit tree.
//
//   POST /qanat/v1/contracts {"artefact":FILE|DIGEST,"users":[…],"sites":[…],"purposes":[…],"uses":N,"expires_unix_ms":N,
//                             "class":"open|internal|confidential"}
//   GET  /qanat/v1/contracts, /{id}, /{id}/report    POST /qanat/v1/contracts/{id}/revoke
//   GET  /qanat/v1/artefacts/{id}/report             of one artefact, over all its contracts and its owner's own uses
//   DELETE /qanat/v1/artefacts/{id}/copies           every site deletes it; their attestations
//   GET  /qanat/v1/audit                             {size, root}
#pragma once

#include <memory>

#include "gateway/jobs/desk.hh"

namespace qanat::jobs {

class ContractsService : public std::enable_shared_from_this<ContractsService> {
 public:
  explicit ContractsService(Desk& desk) : desk_(desk) {}
  void add_routes(base::HttpServer& server);

 private:
  struct Routes;
  boost::asio::awaitable<std::string> report(std::string contract, std::string artefact);
  Desk& desk_;
};

}  // namespace qanat::jobs
