// Crew: a box's workers, each with its own forwarder, sockets and TUN queues, and the mail between them. Every queue is
// steered by bucket, so a flow stays with one worker in both directions and nothing written per packet is shared.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/time.hh"
#include "dataplane/forwarder/status.hh"
#include "dataplane/io/worker.hh"

namespace qanat::io {

struct CrewOptions {
  unsigned workers = 1;  // 1, 2, 4, 8 or 16
  bool pin = true;       // several workers: each to a CPU of its own
  // Workers after the first send from a port of their own (entropy for ECMP and RSS), and neighbours' may too.
  bool port_per_worker = false;
  WorkerOptions worker{};
  // By line: a relay's transit by AF_XDP. Needs one worker; where it cannot be, UDP sockets do it all (xdp_problems()).
  std::vector<bool> af_xdp{};
};

struct CrewTun {
  ids::Vni vni;
  std::shared_ptr<TunDevice> device;  // with a queue for every worker
};

// Made, started and stopped by one thread; everything else from any.
class Crew {
 public:
  // Opens the sockets in the calling thread's network namespace. Throws std::system_error naming the address.
  Crew(forwarder::ForwarderOptions forwarder, CrewOptions options, Worker::EventHandler on_event);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  void start();
  void stop();

  unsigned size() const { return static_cast<unsigned>(workers_.size()); }
  // To the lead, which passes on what its followers have to know.
  void post(Worker::Task task) { workers_.front()->post(std::move(task)); }
  void set_tuns(const std::vector<CrewTun>& tuns);
  void set_udp_offloads(bool segment, bool gather);
  void set_tap(const std::shared_ptr<CaptureTap>& tap);
  // The lead reads its links; before start().
  void set_srv6(const std::shared_ptr<Srv6Port>& port);

  // Of all workers together.
  std::uint64_t drops(packet::DropReason reason) const;
  std::uint64_t counter(forwarder::Counter counter) const;
  std::uint64_t udp(std::atomic<std::uint64_t> UdpCounters::*member) const;
  std::uint64_t xdp(std::atomic<std::uint64_t> XdpCounters::*member) const;
  std::uint64_t worker_sum(std::atomic<std::uint64_t> WorkerCounters::*member) const;
  std::uint64_t worker_max(std::atomic<std::uint64_t> WorkerCounters::*member) const;
  // Waits at most `patience`; empty when the lead does not answer in time.
  forwarder::Status status(base::Duration patience, bool take = false);

  const std::vector<std::unique_ptr<Worker>>& workers() const { return workers_; }
  const Worker& lead() const { return *workers_.front(); }
  // Why lines that were to go by AF_XDP do not.
  const std::vector<std::string>& xdp_problems() const { return xdp_problems_; }

 private:
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<std::string> xdp_problems_;
};

}  // namespace qanat::io
