// AdoptedPool::State: what probing, calls and routes of an adopted server share. Internal to adopt. One io_context, one thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hh"
#include "base/http_client.hh"
#include "base/http_server.hh"
#include "base/metrics.hh"
#include "gateway/pool/adopt/adopted_pool.hh"
#include "gateway/pool/adopt/dialect.hh"
#include "gateway/pool/adopt/pace_meter.hh"
#include "gateway/pool/serve/describe.hh"
#include "gateway/pool/usage/usage_recorder.hh"

namespace qanat::pool {

// Model names in descriptors are lower case, whatever the server's spelling.
std::string lower_case(std::string text);

struct AdoptedPool::State : std::enable_shared_from_this<AdoptedPool::State> {
  State(boost::asio::io_context& context, const PoolConfig& c);

  boost::asio::awaitable<void> probe(std::shared_ptr<State> self);
  boost::asio::awaitable<bool> probe_once();
  boost::asio::awaitable<void> measure(std::string model);
  boost::asio::awaitable<bool> measure_stream(Dialect dialect, std::string model);
  boost::asio::awaitable<void> measure_vector(std::string model);
  boost::asio::awaitable<void> call(std::shared_ptr<State> self, Dialect dialect, base::Request& in,
                                    base::Responder& out);
  boost::asio::awaitable<void> carry(base::HttpStream& upstream, const ForeignRequest& request,
                                     UsageTicket& ticket, base::Time sent, base::Responder& out);
  boost::asio::awaitable<void> refuse(base::Responder& out, ApiError error);
  base::ClientRequest upstream_request(const ForeignRequest& asked) const;
  const ForeignModel* find(std::string_view name) const;
  std::uint32_t context_of(const ForeignModel& model) const;
  std::string descriptor_json();
  std::string status_json() const;

  boost::asio::io_context& io;
  PoolConfig config;
  std::uint64_t started_unix_ms, generation;
  base::HttpClient client;
  base::MetricsRegistry metrics;
  UsageRecorder recorder;
  boost::asio::steady_timer timer;
  base::Counter& calls_total;
  base::Counter& failures_total;
  descriptor::Descriptor description;
  std::vector<ForeignModel> models;
  PaceMeter pace;
  std::uint64_t under_way = 0, next_call = 0;
  bool up = false, stopping = false, drained_by_operator = false;
};

}  // namespace qanat::pool
