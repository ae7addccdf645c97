// Deployment: several equal engines behind one queue of calls: data parallel replicas, and prefill kept apart from
// decoding (disaggregation) when prefill replicas are asked for. Looks like one Engine from outside.
//
//   together:  call → replica with the least work left, its cached prefix counted
//   apart:     call → prefill replica → first token → KV entries over the link, one transfer at a time → decode replica
//
// Prefill replicas never wait for decode replicas, so the instants do not depend on how late on_timer is called.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "gateway/pool/engine/engine.hh"

namespace qanat::pool {

struct DeploymentPlan {
  std::uint32_t replicas = 1;          // that decode; all of the work when prefill_replicas is 0
  std::uint32_t prefill_replicas = 0;  // that only compute prompts
  double link_gb_per_s = 25;           // 10^9 bytes/s between prefill and decode replicas
  double link_latency_us = 50;
};

// Not thread-safe; instants as for Engine.
class Deployment {
 public:
  // `roofline`: of one replica, on its own cards.
  Deployment(const Roofline& roofline, const EngineLimits& limits, const DeploymentPlan& plan);

  Admission submit(const Call& call, base::Time now);
  bool cancel(CallId call, base::Time now);
  void on_timer(base::Time now);
  std::optional<TokenEvent> poll_event();
  std::optional<base::Time> next_timeout() const;

  // Replicas that decode first, then those that prefill: for health, faults and counters of each.
  std::size_t engines() const { return engines_.size(); }
  Engine& engine(std::size_t index) { return *engines_[index]; }
  const Engine& engine(std::size_t index) const { return *engines_[index]; }
  std::size_t in_transfer() const { return transfers_.size(); }

 private:
  struct Live {
    Call call;  // blocks: `content`
    std::vector<BlockHash> content;
    std::size_t at = 0;  // its engine
    bool moving = false;
  };
  struct Transfer {
    base::Time arrives{};
    CallId call = 0;
  };
  std::size_t least_loaded(std::size_t from, std::size_t to, const Call& call) const;
  void collect(std::size_t index, std::vector<TokenEvent>* prefilled);
  void begin_transfer(CallId call, base::Time now);
  void deliver(const Transfer& transfer);
  bool apart() const { return plan_.prefill_replicas > 0; }

  DeploymentPlan plan_;
  double kv_bytes_per_token_, time_scale_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::unordered_map<CallId, Live> live_;
  std::deque<Transfer> transfers_;  // by arrival
  base::Time link_free_{};
  std::deque<TokenEvent> events_;
};

}  // namespace qanat::pool
