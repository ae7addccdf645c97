// TuningService: OpenAI's fine-tuning API over all pools: the queue decides where and when, this moves what is missing,
// starts, listens, brings every checkpoint home, and goes on elsewhere when a pool is lost or somebody more urgent comes.
//
//   POST GET /v1/fine_tuning/jobs   GET …/{id}, …/{id}/events, …/{id}/checkpoints   POST …/{id}/cancel|pause|resume
//
// Ours is under x_qanat: {priority:"high|normal|low", prefer:"time|cost", pools:[…], base_artefact, …} and what the pools
// take (gateway/pool/tune). A finished job's model is a version (model_service.hh). Everything is in the book before it is
// said, and goes on after kill -9.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gateway/jobs/desk.hh"
#include "gateway/jobs/tuning/model_service.hh"
#include "gateway/jobs/tuning/tuning_queue.hh"

namespace qanat::jobs {

class TuningService : public std::enable_shared_from_this<TuningService> {
 public:
  TuningService(Desk& desk, std::shared_ptr<ModelService> models) : desk_(desk), models_(std::move(models)) {}
  void set_quota(const std::string& tenant, std::uint32_t jobs) { queue_.set_quota(tenant, jobs); }
  void add_routes(base::HttpServer& server);
  void start();
  std::vector<Task> tasks() const;
  // False: no such one is under way. What was trained and kept is billed.
  boost::asio::awaitable<bool> cancel(std::string id);

 private:
  struct Routes;
  struct Tune;
  using TunePtr = std::shared_ptr<Tune>;
  using Self = std::shared_ptr<TuningService>;
  template <class T>
  using awaitable = boost::asio::awaitable<T>;

  // What a pool that would take a job says of it.
  struct Offer {
    std::string pool;
    std::uint64_t to_move = 0;  // bytes that are missing there
    double seconds = 1;
    std::uint64_t tokens = 1, steps = 1;
    std::int64_t nano_per_token = 0;
  };
  struct Survey {
    std::vector<Offer> offers;
    Errc refused = Errc::NoRoute;  // by a contract, of those that were
    std::string said;              // a pool's own reason
  };

  awaitable<void> run(Self self);
  awaitable<void> take_up();
  void see_pools();
  awaitable<Survey> survey(TunePtr tune, std::vector<std::string> known);
  awaitable<void> look_again(Self self, TunePtr tune);
  awaitable<void> stage(Self self, TunePtr tune);
  awaitable<void> begin(Self self, TunePtr tune);
  awaitable<void> listen(Self self, TunePtr tune);
  awaitable<bool> bring_home(TunePtr tune, PoolSite pool, std::uint64_t& at_pool);
  awaitable<void> succeed(TunePtr tune, PoolSite pool, std::string result);
  awaitable<void> end(TunePtr tune, std::string status, std::string code, std::string message);
  awaitable<void> bill(TunePtr tune);
  awaitable<void> bill_again(TunePtr tune);
  awaitable<void> keep(TunePtr tune);
  awaitable<Result<base::ClientResponse>> ask(TunePtr tune, PoolSite pool, std::string method,
                                              std::string target, std::string body);
  void give_way(TunePtr tune, const TuningAction& action);
  void tell(TunePtr tune, const char* level, std::string message);

  Desk& desk_;
  std::shared_ptr<ModelService> models_;
  TuningQueue queue_;
  std::map<std::string, TunePtr> tunes_;  // all that are not over
};

}  // namespace qanat::jobs
