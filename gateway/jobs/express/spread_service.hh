// SpreadService: one artefact to many pools, pool to pool from the nearest copies (fan_out.hh); what is there is skipped,
// what was interrupted goes on, also after kill -9 of the gateway.
//
//   POST /qanat/v1/spreads {"dataset":NAME|FILE|DIGEST, "pools":[POOL|SITE, …]}
//   GET  /qanat/v1/spreads, /qanat/v1/spreads/{id}      DELETE /qanat/v1/spreads/{id}
//
// It rides `bulk`, and costs what the tariff says of each byte that reaches a pool.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/jobs/desk.hh"
#include "gateway/jobs/express/fan_out.hh"
#include "gateway/jobs/express/tariff.hh"

namespace qanat::jobs {

class SpreadService : public std::enable_shared_from_this<SpreadService> {
 public:
  // `location`: this gateway's.
  SpreadService(Desk& desk, Tariff tariff, std::string location)
      : desk_(desk), tariff_(std::move(tariff)), location_(std::move(location)) {}
  void add_routes(base::HttpServer& server);
  // Takes up what was under way.
  void start();
  std::vector<Task> tasks() const;
  // False: no such one is under way.
  bool cancel(const std::string& id);

 private:
  struct Routes;
  struct Going;
  using GoingPtr = std::shared_ptr<Going>;
  using Self = std::shared_ptr<SpreadService>;
  boost::asio::awaitable<void> take_up(Self self);
  boost::asio::awaitable<void> carry(Self self, GoingPtr going);
  boost::asio::awaitable<void> bill(GoingPtr going, std::size_t target);
  boost::asio::awaitable<void> keep(GoingPtr going);
  void begin(GoingPtr going, std::vector<FanOut::Target> targets);

  Desk& desk_;
  Tariff tariff_;
  std::string location_;
  std::map<std::string, GoingPtr> going_;
};

}  // namespace qanat::jobs
