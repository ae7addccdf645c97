// Fleet: a gateway and its pools in virtual time, of the daemons' own cores: place::decide over what pools say of
// themselves every 250 ms, PoolLoad, the Valve with its history, pool::Engine in discrete steps, ModelLife with its cold
// starts. What is left out is HTTP, sockets and the clock; the way there is the plan's round trip.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/place/decide.hh"
#include "gateway/place/pool_load.hh"
#include "gateway/place/valve.hh"
#include "gateway/pool/engine/engine.hh"
#include "gateway/pool/life/model_life.hh"
#include "identifiers/descriptor/descriptor.hh"

namespace qanat::bench {

struct FleetPool {
  std::string name;
  pool::Card card;
  std::uint32_t cards = 1;  // of one engine
  std::uint32_t engines = 1;
  pool::Model model;
  pool::EngineLimits limits;
  base::Duration rtt{};
  bool local = false;
  meter::Price price;
  // Of a pool whose engines are woken by the valve; none: they are always up.
  bool placeholder = false;
  double streams = 1;           // that one engine carries within the SLA, as the requirement map has it
  std::int64_t nano_per_s = 0;  // of one engine
  pool::LifePlan life;
};

struct FleetCall {
  base::Time at{};
  std::uint32_t prompt = 0, output = 0;
};

struct FleetEnd {
  FleetCall call;
  std::size_t pool = 0;
  bool failed = false;  // nothing could take it: 503
  base::Duration ttft{}, total{};
  double tpot_s() const {
    return call.output > 1 ? std::chrono::duration<double>(total - ttft).count() / (call.output - 1) : 0;
  }
};

class Fleet {
 public:
  Fleet(std::vector<FleetPool> pools, const place::Wish& wish,
        std::optional<place::ValveSettings> valve = std::nullopt, const place::HistoryShape& history = {});
  ~Fleet();

  void add(const FleetCall& call) { arrivals_.push(call); }
  // Called at each end; it may add calls (closed loops).
  void on_end(std::function<void(const FleetEnd&)> callback) { ended_ = std::move(callback); }
  void run_until(base::Time until);
  // Until no call is under way or to come.
  void run_dry();

  base::Time now() const { return now_; }
  place::Valve* valve() { return valve_ ? &*valve_ : nullptr; }
  // Engine-seconds that a pool's engines held their cards; engine-nanoseconds are what they are charged by.
  double held_s(std::size_t pool) const;
  meter::Nano charged(std::size_t pool) const;
  std::uint32_t held(std::size_t pool) const;  // engines, now
  std::size_t in_flight() const { return live_.size(); }

 private:
  struct Engine;
  struct Pool;
  struct Live {
    FleetCall call;
    std::size_t pool = 0;
    place::PoolLoad::Ticket ticket;
    base::Duration ttft{};
  };
  struct Later {
    bool operator()(const FleetCall& a, const FleetCall& b) const { return a.at > b.at; }
  };
  void step(base::Time at);
  void sample();
  void dispatch(const FleetCall& call);
  void drain(std::size_t pool, Engine& engine);
  void tell_valve();

  place::Wish wish_;
  std::vector<std::unique_ptr<Pool>> pools_;
  std::optional<place::Valve> valve_;
  std::priority_queue<FleetCall, std::vector<FleetCall>, Later> arrivals_;
  std::unordered_map<std::uint64_t, Live> live_;
  std::function<void(const FleetEnd&)> ended_;
  base::Time now_{}, next_sample_{};
  std::uint64_t next_call_ = 1, random_ = 0x9e3779b97f4a7c15;
};

}  // namespace qanat::bench
