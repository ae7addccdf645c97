// BatchesService: OpenAI's batches: a file of calls that are made one by one, each as its tenant would make it, while nobody
// waits for them.
//
//   POST GET /v1/batches   GET /v1/batches/{id}   POST /v1/batches/{id}/cancel
//
// A batch that was acknowledged goes on after kill -9. A line's answer is on disk before it counts as delivered: none is
// billed twice, and none that was billed is lost. Where only those few instructions between the two were left, the tenant
// has the answer and does not pay.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/http_client.hh"
#include "base/metrics.hh"
#include "gateway/jobs/desk.hh"

namespace qanat::jobs {

class BatchesService : public std::enable_shared_from_this<BatchesService> {
 public:
  // At once, of a gateway: batches that are worked on, and lines of each that are called. The others wait.
  static constexpr std::size_t kBatches = 4, kLanes = 4;

  BatchesService(Desk& desk, base::MetricsRegistry& metrics);
  void add_routes(base::HttpServer& server);
  void start();
  std::vector<Task> tasks() const;
  // False: no such one is under way. Lines that are being called are heard to their end.
  boost::asio::awaitable<bool> cancel(std::string id);

  // Makes the call of a batch's line, by POST; the answer as a client would get it. Set by who wires the gateway.
  std::function<boost::asio::awaitable<base::Result<base::ClientResponse>>(
      std::string batch, std::size_t line, std::string body)>
      perform;

  // Whose call a line is, and what it is of.
  struct Errand {
    Caller caller;
    std::string endpoint, request_id;
  };
  std::optional<Errand> errand(const std::string& batch, std::size_t line) const;
  // Its answer, which its caller is about to be billed: on disk when this returns; false if that cannot be.
  boost::asio::awaitable<bool> keep_answer(std::string batch, std::size_t line, std::string body);

 private:
  struct Routes;
  struct Batch;
  using BatchPtr = std::shared_ptr<Batch>;
  using Self = std::shared_ptr<BatchesService>;
  template <class T>
  using awaitable = boost::asio::awaitable<T>;

  awaitable<void> run(Self self);
  awaitable<void> take_up();
  awaitable<void> work(Self self, BatchPtr batch);
  awaitable<bool> open(BatchPtr batch);
  awaitable<void> lane(Self self, BatchPtr batch);
  awaitable<void> call(BatchPtr batch, std::size_t line);
  awaitable<void> fail(BatchPtr batch, std::size_t line, std::string code, std::string message);
  awaitable<void> close(BatchPtr batch);
  awaitable<std::string> hand_over(BatchPtr batch, bool errors);
  awaitable<void> keep(BatchPtr batch);

  Desk& desk_;
  base::Counter& answered_;
  base::Counter& failed_;
  base::Counter& repeated_;
  std::map<std::string, BatchPtr> batches_;  // all that are not over
  std::size_t working_ = 0;
};

}  // namespace qanat::jobs
