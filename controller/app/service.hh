// Service: everything that runs in a controller that leads (one that stands alone always does), in the order in which it
// depends on each other: authority → listener → level (domain or global) → northbound, and upwards the uplink.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "controller/app/settings.hh"
#include "controller/domain/plan_run.hh"
#include "controller/northbound/northbound.hh"
#include "controller/session/authority.hh"
#include "controller/session/listener.hh"
#include "controller/session/uplink.hh"

namespace qanat::store {
class Store;
}
namespace qanat::domain {
class Domain;
}

namespace qanat::app {

// Reads a token of 16 characters or more; throws std::system_error that names the file.
std::string token_of(const std::string& file);

class Service {
 public:
  // The store outlives it.
  Service(boost::asio::io_context& io, const Settings& settings, store::Store& store);
  ~Service();
  void stop();
  base::MetricsRegistry& metrics() { return northbound_->metrics(); }

 private:
  domain::PlanRun::Options planning();
  void make_domain(boost::asio::io_context& io, const Settings& settings);
  base::TlsContext door();
  void tick();
  void report();

  store::Store& store_;
  boost::asio::thread_pool planning_{1};  // plans of traffic: hundreds of milliseconds may pass
  session::Authority authority_;
  std::string name_;
  std::uint64_t door_serial_ = 0;
  base::UnixSeconds door_made_ = 0;
  session::Listener listener_;
  std::unique_ptr<session::Level> level_;
  domain::Domain* domain_ = nullptr;  // level_, where it is one
  std::optional<northbound::Northbound> northbound_;
  std::optional<session::Uplink> uplink_;
  boost::asio::steady_timer tick_;
  boost::asio::steady_timer report_;
  std::chrono::milliseconds report_interval_;
};

// The northbound interface of a controller, as its settings ask for it.
void serve(northbound::Northbound& northbound, const Settings& settings);

}  // namespace qanat::app
