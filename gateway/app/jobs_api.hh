// JobsApi: the services of jobs and data, wired into the gateway: whose keys count, which pools there are, what the
// network is asked. There where the configuration has [data]; pools' statements are there always.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "gateway/app/gateway_service.hh"
#include "gateway/jobs/batches/batches_service.hh"
#include "gateway/jobs/contract/contracts_service.hh"
#include "gateway/jobs/desk.hh"
#include "gateway/jobs/express/express_service.hh"
#include "gateway/jobs/express/spread_service.hh"
#include "gateway/jobs/files_service.hh"
#include "gateway/jobs/tuning/model_service.hh"
#include "gateway/jobs/tuning/tuning_service.hh"

namespace qanat::app {

struct JobsApi {
  // Makes the tables that are missing; answers the audit tree's leaves. Before the ledger has its thread.
  static std::vector<std::string> prepare(meter::Ledger& ledger, const std::string& gateway);

  JobsApi(GatewayService::State& state, const std::vector<std::string>& leaves);
  void add_routes(base::HttpServer& server, std::shared_ptr<void> owner);
  void start();
  void stop();

  jobs::Desk desk;
  base::HttpClient to_self;  // of a batch's lines, by the operator's socket
  std::shared_ptr<jobs::FilesService> files;
  std::shared_ptr<jobs::ExpressService> express;
  std::shared_ptr<jobs::SpreadService> spreads;
  std::shared_ptr<jobs::ContractsService> contracts;
  std::shared_ptr<jobs::ModelService> models;
  std::shared_ptr<jobs::TuningService> tuning;
  std::shared_ptr<jobs::BatchesService> batches;
};

}  // namespace qanat::app
