// Box: a running qanatd, wired: agent → snapshot → workers and tenants; workers → telemetry, events, local HTTP.
#pragma once

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "base/metrics.hh"
#include "base/time.hh"
#include "dataplane/agent/agent.hh"
#include "dataplane/app/box_config.hh"
#include "dataplane/app/event_hub.hh"
#include "dataplane/app/sla_book.hh"
#include "dataplane/app/telemetry.hh"
#include "dataplane/app/tenants.hh"
#include "dataplane/forwarder/status.hh"
#include "dataplane/io/crew.hh"

namespace qanat::app {

// Lives on one io_context's thread; the workers' own threads reach it only by posting there.
class Box final : public agent::TelemetrySource {
 public:
  // Makes keys, sockets and the agent; throws std::system_error naming what failed.
  Box(boost::asio::io_context& io, BoxConfig config);
  ~Box() override;

  void start();
  void stop();

  void collect(proto::v1::Telemetry& out, bool anew) override;

  const BoxConfig& config() const { return config_; }
  const agent::Agent& agent() const { return *agent_; }
  const io::Crew& crew() const { return *crew_; }
  // Records what passes until it is let go of; null while another capture runs. Throws as CaptureTap does.
  std::shared_ptr<io::CaptureTap> capture(io::CaptureOptions options);
  void end_capture();
  const io::Srv6Port* srv6() const { return srv6_.get(); }        // null: no edge
  const fib::SnapshotPtr& snapshot() const { return snapshot_; }  // null before the first configuration
  EventHub& events() { return events_; }
  SlaBook& slas() { return slas_; }
  // After one was put: they are looked at from now on.
  void watch_slas();
  base::MetricsRegistry& metrics() { return metrics_; }
  base::Duration uptime() const;
  // What the test at start said of UDP segmentation and gathering; true where it could not be made.
  bool udp_offloads_work() const { return udp_offloads_work_; }
  // Asks the workers; empty when it does not answer in time.
  forwarder::Status status(bool take = false);
  // The name of a node, or its id's text.
  std::string name_of(ids::NodeId node) const;

 private:
  void on_applied(const agent::Applied& applied);
  void on_forwarder_event(const forwarder::Event& event);
  void test_offloads();
  void open_srv6();
  void export_metrics();
  void follow_windows();
  void evaluate_slas();

  boost::asio::io_context& io_;
  BoxConfig config_;
  std::shared_ptr<const qos::Policy> policy_;  // shared with the workers
  boost::asio::steady_timer window_timer_;
  boost::asio::steady_timer sla_timer_;
  bool watching_slas_ = false;
  base::Time started_;
  base::MetricsRegistry metrics_;
  EventHub events_;
  SlaBook slas_;
  std::unique_ptr<agent::Agent> agent_;
  std::unique_ptr<io::Crew> crew_;
  TelemetryReporter reporter_;
  Tenants tenants_;
  std::shared_ptr<io::Srv6Port> srv6_;
  bool capturing_ = false;
  bool udp_offloads_work_ = true;
  fib::SnapshotPtr snapshot_;
  std::shared_ptr<std::atomic<bool>>
      alive_;  // false once stopped: late posts of the workers fall on deaf ears
};

}  // namespace qanat::app
