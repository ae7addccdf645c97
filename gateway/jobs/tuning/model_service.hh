// ModelService: versions of models and the names that tenants call. A version is a fine-tune's result, private to its
// tenant; a name leads to one version at a time, and is switched at all gateways or at none (model_switch.hh).
//
//   GET  /qanat/v1/models                              the tenant's versions and names
//   POST /qanat/v1/models/{name}/switch {"version":V}  pushes it to pools and gateways (`pools` of the answer: whose copy
//                                                      each got; null: it had one), then switches
//   POST /qanat/v1/models/{name}/rollback              to the version before
//   POST /qanat/v1/switch                              between gateways; ticket "switch" for TENANT/NAME
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gateway/jobs/desk.hh"
#include "gateway/jobs/tuning/model_switch.hh"

namespace qanat::jobs {

struct ModelVersion {
  std::string name, base, tenant, job;
  Digest artefact;
  std::int64_t created_unix_ms = 0;
  double loss_before = 0, loss_after = 0;  // of training: at its first step and at its last
};

class ModelService : public std::enable_shared_from_this<ModelService> {
 public:
  // `location`: this gateway's.
  ModelService(Desk& desk, std::vector<Place> peers, std::string location)
      : desk_(desk), peers_(std::move(peers)), location_(std::move(location)) {}
  void add_routes(base::HttpServer& server);
  // Reads what is kept, and takes up a switch that had been decided.
  void start();

  // What a tenant's call for `model` is to be placed as: a name's version, the name itself, or nothing: another's.
  std::optional<std::string> version_for(const std::string& tenant, const std::string& model) const;
  // Durable on return.
  boost::asio::awaitable<void> add(ModelVersion version);

 private:
  struct Routes;
  using Self = std::shared_ptr<ModelService>;
  boost::asio::awaitable<void> read(Self self);
  boost::asio::awaitable<void> keep_name(std::string key);
  // A pool that can serve a version, and whose copy it got; empty: it had its own.
  struct Pushed {
    std::string pool, from;
  };
  // To every pool that has its base, pool to pool from the nearest copy.
  boost::asio::awaitable<std::vector<Pushed>> push(ModelVersion version);
  boost::asio::awaitable<bool> at_peers(ModelVersion version);
  boost::asio::awaitable<bool> answer(std::string key, std::string version, std::uint64_t generation,
                                      std::string verb);
  boost::asio::awaitable<ModelSwitch::State> carry_out(std::string key, ModelSwitch change);
  bool served_here(const std::string& version) const;

  Desk& desk_;
  std::vector<Place> peers_;
  std::string location_;
  std::map<std::string, ModelVersion> versions_;  // by name
  std::map<std::string, NamedModel> names_;       // by TENANT/NAME
};

}  // namespace qanat::jobs
