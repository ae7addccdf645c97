// Cluster: one of several controllers of the same level on one etcd. Stands by, warm, until it wins the leader key; then a
// Service runs. A leader that loses its lease begins anew as a new process image: nothing of what it knew, or was about to
// send, outlives that.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "controller/app/service.hh"
#include "controller/app/standby.hh"
#include "controller/store/etcd_leadership.hh"
#include "controller/store/etcd_store.hh"
#include "controller/store/etcd_watch.hh"

namespace qanat::app {

class Cluster {
 public:
  // `begin_anew` replaces the process; it does not return.
  Cluster(boost::asio::io_context& io, Settings settings, std::function<void()> begin_anew);
  ~Cluster();
  void stop();

 private:
  struct StandIn;
  void tick();
  void stand_by();
  void follow();
  void campaign();
  void take_over(store::EtcdGuard guard);
  void depose(const std::string& why);

  boost::asio::io_context& io_;
  Settings settings_;
  std::function<void()> begin_anew_;
  store::EtcdConfig etcd_;
  store::EtcdStore store_;
  store::Leadership leadership_;
  store::EtcdWatch watch_;
  std::unique_ptr<StandIn> stand_in_;  // what answers while it stands by; kept, stopped, while it leads
  std::optional<Service> service_;     // while it leads
  boost::asio::steady_timer tick_;
  base::Time next_campaign_{};
  bool loaded_ = false;
};

// Replaces this process by a new one of the same program and arguments, under the same process id.
[[noreturn]] void replace_process(char** arguments);

}  // namespace qanat::app
