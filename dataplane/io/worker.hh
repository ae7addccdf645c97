// Worker: one thread that runs a forwarder to completion over its sockets and TUN queues: batches in, batches out.
//
//   wait ─> mail ─> control sockets (probes, handshakes) ─> data sockets ─> timers ─> TUNs by tier ─> wait
//
// Nothing per packet is locked or allocated; other threads reach the forwarder only through post().
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/time.hh"
#include "dataplane/forwarder/forwarder.hh"
#include "dataplane/io/fd.hh"
#include "dataplane/io/tun_device.hh"
#include "dataplane/io/udp_socket.hh"
#include "dataplane/qos/overload.hh"

namespace qanat::io {

struct WorkerTun {
  ids::Vni vni;
  std::shared_ptr<TunDevice> device;
  unsigned queue = 0;
};

struct WorkerOptions {
  int cpu = -1;  // pin to this CPU; −1: anywhere
  int niceness =
      -10;  // liveness must not wait behind the applications it serves; ignored where not permitted
  std::string name = "forwarder";  // of the thread
};

// What io itself saw; the forwarder counts the rest.
struct WorkerCounters {
  std::atomic<std::uint64_t> wakeups{0};
  std::atomic<std::uint64_t> tun_reads{0};
  std::atomic<std::uint64_t> tun_writes{0};
  std::atomic<std::uint64_t> shed{0};         // frames given up under overload
  std::atomic<std::uint64_t> lateness_us{0};  // smoothed, of timers
};

class Worker {
 public:
  using Task = std::function<void(forwarder::Forwarder&, base::Time)>;
  using EventHandler = std::function<void(const forwarder::Event&)>;

  // Line i of the forwarder's options owns two sockets, made here: data and control (bucket 255, handshakes). Throws
  // std::system_error naming the address. `on_event` is called on the worker's thread.
  Worker(forwarder::ForwarderOptions forwarder, WorkerOptions options, EventHandler on_event);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start();
  void stop();  // joins

  // Runs on the worker's thread, within a loop's turn. Before start() and after stop(), never.
  void post(Task task);
  // The TUNs to serve from now on; thread-safe as post().
  void set_tuns(std::vector<WorkerTun> tuns);
  // Switches UDP_SEGMENT and UDP_GRO of every socket.
  void set_udp_offloads(bool segment, bool gather);

  // Any thread.
  const forwarder::Forwarder& forwarder() const { return forwarder_; }
  const WorkerCounters& counters() const { return counters_; }
  const std::vector<UdpSocket>& sockets() const { return sockets_; }

 private:
  struct Frames;
  void loop();
  void watch(int fd, std::uint64_t token);
  void read_mail();
  bool receive(UdpSocket& socket, base::Time now);
  void read_tuns(base::Time now);
  void flush();
  void send();
  void write_tuns();
  void apply_tuns(std::vector<WorkerTun> tuns);

  WorkerOptions options_;
  forwarder::Forwarder forwarder_;
  EventHandler on_event_;
  std::vector<UdpSocket> sockets_;  // of line i: 2i data, 2i + 1 control
  std::vector<WorkerTun> tuns_;
  std::vector<bool> tun_ready_;
  std::unique_ptr<Frames> frames_;
  qos::Overload overload_;
  WorkerCounters counters_;
  Fd epoll_;
  Fd bell_;  // eventfd: mail has come
  std::mutex mail_lock_;
  std::vector<Task> mail_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace qanat::io
