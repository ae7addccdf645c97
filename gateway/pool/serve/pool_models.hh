// PoolModels: everything a pool serves: each model's stations, how they share the cards, which faults are in force, and
// what the pool says of all that.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "gateway/pool/fault/fault.hh"
#include "gateway/pool/serve/pool_config.hh"
#include "gateway/pool/serve/pool_metrics.hh"
#include "gateway/pool/serve/station.hh"
#include "identifiers/descriptor/descriptor.hh"

namespace qanat::pool {

// One model: data-parallel stations, each on its own cards under tensor parallelism.
struct Served {
  Served(const Model& m, base::MetricsRegistry& registry) : model(m), metrics(registry, m.name) {}
  Model model;
  std::vector<std::unique_ptr<Station>> stations;
  PoolMetrics metrics;

  // Where the next call goes: a serving station with the fewest calls, else the one that will serve first; null when all
  // have failed or are lent to nobody.
  Station* pick();
  std::size_t calls() const;
};

class PoolModels {
 public:
  PoolModels(boost::asio::io_context& io, const PoolConfig& config, base::MetricsRegistry& registry);
  ~PoolModels();

  Served* find(std::string_view model);
  std::vector<std::unique_ptr<Served>>& all() { return served_; }

  std::uint64_t inject(Fault fault);
  bool clear(std::uint64_t fault);
  const std::vector<Fault>& faults() const { return faults_; }
  std::uint32_t spare_cards() const { return spare_; }

  // A job beside the models on the same cards (fine-tuning); told its share at every change. Lower priority than any model.
  void set_neighbour(bool busy);
  double neighbour_share() const { return neighbour_share_; }
  void on_neighbour_share(std::function<void(double)> callback) { neighbour_changed_ = std::move(callback); }

  // Told when cards fail under the neighbour too: how long they are gone.
  void on_cards_failed(std::function<void(base::Duration)> callback) { cards_failed_ = std::move(callback); }

  // Engines of the models that serve; health over all of them.
  void describe(descriptor::State& state, base::Time now) const;
  std::size_t calls() const;
  TokenLog* log() { return log_.get(); }

 private:
  void share();
  void feel(Served& served, std::size_t index);
  void lose_cards(const Fault& fault);
  void strike(const Fault& fault);

  boost::asio::io_context& io_;
  const PoolConfig& config_;
  std::unique_ptr<TokenLog> log_;
  std::vector<std::unique_ptr<Served>> served_;
  std::vector<Fault> faults_;
  std::list<boost::asio::steady_timer> ends_;
  std::uint64_t next_fault_ = 1;
  std::uint32_t spare_ = 0;
  std::vector<double> shares_;  // of served_, when they share cards
  bool neighbour_busy_ = false;
  double neighbour_share_ = 1;
  std::function<void(double)> neighbour_changed_;
  std::function<void(base::Duration)> cards_failed_;
};

}  // namespace qanat::pool
