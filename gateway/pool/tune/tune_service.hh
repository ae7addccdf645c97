// TuneService: OpenAI's fine-tuning API over TuneJobs in real time, beside the models on the same cards: while calls are
// served, a job gets what they leave; when they ebb, it has the cards.
#pragma once

#include <functional>
#include <memory>

#include "base/time.hh"

namespace boost::asio {
class io_context;
}
namespace qanat::base {
class HttpServer;
}

namespace qanat::jobs {
class SiteStore;
}

namespace qanat::pool {

struct PoolConfig;

class TuneService {
 public:
  // `busy`: told when a job begins or ends to need the cards. `site`: where its data is and checkpoints go; null: they
  // are only simulated.
  TuneService(boost::asio::io_context& io, const PoolConfig& config, std::function<void(bool)> busy,
              jobs::SiteStore* site = nullptr);
  ~TuneService();
  TuneService(const TuneService&) = delete;
  TuneService& operator=(const TuneService&) = delete;

  // POST /v1/fine_tuning/estimate: a job's body; what it would take here, and nothing begins.
  // POST and GET /v1/fine_tuning/jobs, GET …/{id}, …/{id}/events, …/{id}/checkpoints, POST …/{id}/cancel, pause, resume.
  void add_routes(base::HttpServer& server);
  void set_share(double share);
  // A contract was taken back: jobs that use its artefact end at once, and say why.
  void revoke(const std::string& contract);
  // The jobs' cards are gone for so long.
  void lose(base::Duration outage);
  void stop();

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::pool
