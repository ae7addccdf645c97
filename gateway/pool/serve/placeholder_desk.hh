// PlaceholderDesk: the pool's counter for rights to start engines: the book, its engines' eyes and hands, and its API.
//   GET    /qanat/v1/placeholders       prices, what each model's engines are and cost to start, every right
//   PUT    /qanat/v1/placeholders/ID    binds or renews one; says how many of its engines should be awake. Idempotent
//   DELETE /qanat/v1/placeholders/ID    releases it
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/metrics.hh"
#include "gateway/pool/life/placeholder_book.hh"
#include "gateway/pool/serve/offer_desk.hh"
#include "gateway/pool/serve/pool_models.hh"

namespace qanat::base {
class HttpServer;
}
namespace qanat::jobs {
class SiteStore;
}

namespace qanat::pool {

class PlaceholderDesk {
 public:
  // What was bound when the last process ended goes on as `leases` has it. All of them outlive the desk.
  // `site`: where gateways show tickets; null: this pool knows no gateway, and leases to whoever reaches it.
  PlaceholderDesk(boost::asio::io_context& io, const PoolConfig& config, PoolModels& models,
                  const OfferDesk& offers, LeaseBook& leases, const jobs::SiteStore* site,
                  base::MetricsRegistry& metrics);
  // `owner` keeps the pool alive while a request is answered.
  void add_routes(base::HttpServer& server, const std::shared_ptr<void>& owner);
  void stop() { timer_.cancel(); }

 private:
  struct Api;
  void look();
  void act();
  void tick();
  // On disk before anybody is told of it.
  boost::asio::awaitable<void> keep(PlaceholderStatus status, bool ended);
  nlohmann::ordered_json to_json(const PlaceholderStatus& status) const;
  nlohmann::ordered_json model_json(const Served& served) const;

  const PoolConfig& config_;
  PoolModels& models_;
  const OfferDesk& offers_;
  LeaseBook& leases_;
  const jobs::SiteStore* site_;
  base::Counter& refused_;
  PlaceholderBook book_;
  std::uint64_t offer_ = 0;                 // its version that the book has
  std::map<std::string, LeaseCount> kept_;  // by placeholder: what is on disk
  boost::asio::io_context& io_;
  std::vector<Station*> stations_;
  boost::asio::steady_timer timer_;
};

}  // namespace qanat::pool
