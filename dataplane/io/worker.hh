// Worker: one thread that runs a forwarder to completion over its sockets and TUN queues: batches in, batches out. A box
// has one or several (crew.hh); the first, the lead, also runs probes and handshakes.
//
//   wait ─> data sockets ─> timers ─> TUNs by tier ─> SRv6 links ─> mail ─> wait
//        └─ before each, and after every kBulkBytes of it: probes and handshakes, then `critical`, from queues of their own
//
// Nothing per packet is locked or allocated; other threads reach the forwarder only through post().
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/time.hh"
#include "dataplane/forwarder/forwarder.hh"
#include "dataplane/io/capture_tap.hh"
#include "dataplane/io/fd.hh"
#include "dataplane/io/linger.hh"
#include "dataplane/io/precedence.hh"
#include "dataplane/io/srv6_port.hh"
#include "dataplane/io/tun_device.hh"
#include "dataplane/io/udp_socket.hh"
#include "dataplane/io/xdp_socket.hh"
#include "dataplane/qos/overload.hh"

namespace qanat::io {

struct WorkerTun {
  ids::Vni vni;
  std::shared_ptr<TunDevice> device;
  unsigned queue = 0;
};

// One worker's sockets of one line.
struct LineSockets {
  UdpSocket data;
  std::optional<UdpSocket> control;  // the lead's
  std::optional<UdpSocket> sender;   // where this worker sends from a port of its own
  std::optional<UdpSocket> urgent;   // `critical`, both ways
  std::unique_ptr<XdpSocket> xdp{};  // the lead's, of a relay: transit past the kernel's IP stack

  UdpSocket& outgoing(const forwarder::Datagrams& train) {
    if (urgent && train.traffic_class >> 2 == ids::dscp(ids::Tier::Critical)) return *urgent;
    return sender ? *sender : data;
  }
};

struct WorkerOptions {
  int cpu = -1;  // pin to this CPU; −1: anywhere
  // Liveness and `critical` must not wait behind the applications they serve; ignored where not permitted.
  int niceness = -10;
  // The real-time class may be used where `critical` would wait for a tick otherwise (precedence.hh); else, and where it is
  // not permitted, such a worker becomes as nice as can be.
  bool real_time = true;
  std::string name = "forwarder";  // of the thread
  base::Duration linger{};         // busy polling: LingerOptions::always
  base::Duration anticipation = LingerOptions{}.adaptive;
};

// What io itself saw; the forwarder counts the rest.
struct WorkerCounters {
  std::atomic<std::uint64_t> wakeups{0};
  std::atomic<std::uint64_t> tun_reads{0};
  std::atomic<std::uint64_t> tun_writes{0};
  std::atomic<std::uint64_t> shed{0};         // frames given up under overload
  std::atomic<std::uint64_t> lateness_us{0};  // smoothed, of timers
  std::atomic<std::uint64_t> real_time{0};    // 1 while it runs in the real-time class
  std::atomic<std::uint64_t> strays_lost{0};  // handed over by others while this worker was late
};

class Worker {
 public:
  using Task = std::function<void(forwarder::Forwarder&, base::Time)>;
  using EventHandler = std::function<void(const forwarder::Event&)>;
  using Route = std::function<void(forwarder::Message&&)>;

  // lines[i] serves line i of the forwarder's options. `on_event` and `route`, which takes messages to the other workers,
  // are called on the worker's thread.
  Worker(forwarder::ForwarderOptions forwarder, std::vector<LineSockets> lines, WorkerOptions options,
         EventHandler on_event, Route route);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void start();
  void stop();  // joins

  // Runs on the worker's thread, within a loop's turn. Before start() and after stop(), never.
  void post(Task task);
  // A message of another worker's. Strays are lost, and counted, when more wait than a healthy worker leaves.
  void deliver(forwarder::Message message);
  // The TUNs to serve from now on; thread-safe as post().
  void set_tuns(std::vector<WorkerTun> tuns);
  // The SRv6 edge: its links are read by the worker that `reads` them, its policies take packets at every worker.
  void set_srv6(std::shared_ptr<Srv6Port> port, bool reads);
  // Records what passes from now on; null: nothing.
  void set_tap(std::shared_ptr<CaptureTap> tap);
  // Switches UDP_SEGMENT and UDP_GRO of every socket.
  void set_udp_offloads(bool segment, bool gather);

  // Any thread.
  const forwarder::Forwarder& forwarder() const { return forwarder_; }
  const WorkerCounters& counters() const { return counters_; }
  const std::vector<LineSockets>& lines() const { return lines_; }

 private:
  static constexpr std::size_t kBulkBytes = 128 * 1024;  // about a tenth of a millisecond's work
  static constexpr std::size_t kFewBytes = 4 * 1024;     // after so few the turn's own look is soon enough

  struct Frames;
  void read_mail();
  void watch(const Fd& epoll, int fd, std::uint64_t token);
  bool set_class(bool ahead);
  // worker_loop.cc
  void loop();
  void route_messages();
  // What waits for nothing else. False: control may still hold something.
  bool serve_urgent(base::Time now);
  bool read_control(UdpSocket& control, base::Time now);
  // One batch; true when something was received. Between pieces of bulk it serves what is urgent.
  bool receive(UdpSocket& socket, base::Time now, bool urgent);
  bool take(std::span<const forwarder::Datagrams> trains, const packet::UdpAddress& local, base::Time now,
            bool urgent);
  void read_urgent_tun(const WorkerTun& tun, base::Time now);
  void read_tuns(base::Time now);
  void take_frame(ids::Vni vni, packet::MutableBytes frame, base::Time now);
  void on_timers(base::Time due, base::Time now);
  void keep_precedence(base::Time now);
  // Between two pieces of bulk.
  void make_way();
  void flush();
  void send();
  void write_tuns();
  // worker.cc
  void apply_tuns(std::vector<WorkerTun> tuns);
  bool write_tun(ids::Vni vni, std::span<const iovec> parts);
  // worker_srv6.cc
  void read_srv6(std::size_t link, base::Time now);
  bool steer_frame(ids::Vni vni, packet::MutableBytes frame);
  bool steer_delivery(const forwarder::TunWrite& write);
  const Srv6Tenants& srv6_tenants(base::Time now);

  WorkerOptions options_;
  forwarder::Forwarder forwarder_;
  EventHandler on_event_;
  Route route_;
  std::vector<LineSockets> lines_;
  std::vector<WorkerTun> tuns_;
  std::vector<bool> tun_ready_;
  std::unique_ptr<Frames> frames_;
  std::shared_ptr<CaptureTap> tap_;  // null: nobody captures
  std::shared_ptr<Srv6Port> srv6_;   // null: no edge
  Srv6Tenants srv6_tenants_;
  base::Time srv6_now_{};
  std::vector<std::uint8_t> srv6_frame_;  // a delivery in one piece
  qos::Overload overload_;
  Linger linger_;
  Precedence precedence_;
  WorkerCounters counters_;
  Fd epoll_;
  Fd urgent_;  // an epoll within the other: control sockets, `critical`'s sockets and TUN queues
  Fd bell_;    // eventfd: mail has come
  std::mutex mail_lock_;
  std::vector<Task> mail_;
  std::atomic<std::size_t> mail_count_{0};  // read without the lock
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace qanat::io
