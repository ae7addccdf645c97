#include "dataplane/io/crew.hh"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <string>
#include <system_error>

namespace qanat::io {
namespace {

// The CPUs that this process may run on.
std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    for (int i = 0; i < CPU_SETSIZE; ++i)
      if (CPU_ISSET(i, &set)) cpus.push_back(i);
  return cpus;
}

constexpr int kUrgentBytes = 1 << 20;  // of `critical`: what would wait longer comes too late

// Sockets of one line, by worker. The group's order is the order of making, which UdpSocket::steer() counts on: data
// sockets, then control, then the urgent ones.
std::vector<LineSockets> open_line(const packet::UdpAddress& address, std::uint8_t line,
                                   const CrewOptions& options) {
  UdpOptions udp;
  udp.local = address;
  udp.line = line;
  std::vector<LineSockets> sockets;
  for (unsigned i = 0; i < options.workers; ++i)
    sockets.push_back({UdpSocket(udp), std::nullopt, std::nullopt, std::nullopt});
  sockets[0].control.emplace(udp);
  udp.urgent = true;
  udp.buffer_bytes = kUrgentBytes;
  for (LineSockets& s : sockets) s.urgent.emplace(udp);
  sockets[0].control->steer(options.workers);
  udp.urgent = false;
  udp.buffer_bytes = UdpOptions{}.buffer_bytes;
  if (options.port_per_worker) {
    udp.local.port = 0;
    udp.receive = false;
    udp.shared = false;
    for (unsigned i = 1; i < options.workers; ++i) sockets[i].sender.emplace(udp);
  }
  return sockets;
}

// Packets and bytes that a follower sent are added to what the lead says of the same path.
void add_traffic(forwarder::Status& to, const forwarder::Status& from) {
  for (forwarder::PathStatus& p : to.paths)
    for (const forwarder::PathStatus& f : from.paths)
      if (p.endpoint == f.endpoint && p.tier == f.tier && p.id == f.id) {
        p.packets += f.packets;
        p.bytes += f.bytes;
        p.limited |= f.limited;
        p.capacity_bps += f.capacity_bps;
      }
}

}  // namespace

Crew::Crew(forwarder::ForwarderOptions forwarder, CrewOptions options, Worker::EventHandler on_event) {
  if (!forwarder::valid_worker_count(options.workers))
    throw_errno(EINVAL, "start workers (1, 2, 4, 8 or 16)", std::to_string(options.workers));
  std::vector<std::vector<LineSockets>> lines(options.workers);
  for (std::size_t i = 0; i < forwarder.lines.size(); ++i) {
    auto sockets = open_line(forwarder.lines[i].address, static_cast<std::uint8_t>(i), options);
    if (i < options.af_xdp.size() && options.af_xdp[i] && options.workers == 1) try {
        sockets[0].xdp =
            std::make_unique<XdpSocket>(forwarder.lines[i].address, static_cast<std::uint8_t>(i));
      } catch (const std::system_error& error) {
        xdp_problems_.push_back(error.what());
      }
    for (unsigned w = 0; w < options.workers; ++w) lines[w].push_back(std::move(sockets[w]));
  }
  forwarder.neighbours_ports = options.port_per_worker;
  const std::vector<int> cpus = allowed_cpus();
  const auto route = [this](forwarder::Message&& message) {
    if (message.to != forwarder::Message::kFollowers)
      return workers_[message.to]->deliver(std::move(message));
    for (std::size_t i = 1; i < workers_.size(); ++i) workers_[i]->deliver(message);
  };
  for (unsigned w = 0; w < options.workers; ++w) {
    forwarder.share = {w, options.workers};
    WorkerOptions worker = options.worker;
    if (options.workers > 1) {
      worker.name += "-" + std::to_string(w);
      if (options.pin && !cpus.empty()) worker.cpu = cpus[w % cpus.size()];
    }
    workers_.push_back(std::make_unique<Worker>(forwarder, std::move(lines[w]), worker,
                                                w == 0 ? on_event : Worker::EventHandler{}, route));
  }
}

Crew::~Crew() { stop(); }

void Crew::start() {
  for (const auto& w : workers_) w->start();
}

void Crew::stop() {
  for (const auto& w : workers_) w->stop();
}

void Crew::set_tuns(const std::vector<CrewTun>& tuns) {
  for (unsigned w = 0; w < workers_.size(); ++w) {
    std::vector<WorkerTun> mine;
    for (const CrewTun& t : tuns) mine.push_back({t.vni, t.device, w});
    workers_[w]->set_tuns(std::move(mine));
  }
}

void Crew::set_udp_offloads(bool segment, bool gather) {
  for (const auto& w : workers_) w->set_udp_offloads(segment, gather);
}

void Crew::set_tap(const std::shared_ptr<CaptureTap>& tap) {
  for (const auto& w : workers_) w->set_tap(tap);
}

void Crew::set_srv6(const std::shared_ptr<Srv6Port>& port) {
  for (std::size_t w = 0; w < workers_.size(); ++w) workers_[w]->set_srv6(port, w == 0);
}

std::uint64_t Crew::drops(packet::DropReason reason) const {
  std::uint64_t sum = 0;
  for (const auto& w : workers_) sum += w->forwarder().drops()[reason];
  // A late worker's mail is a full queue.
  if (reason == packet::DropReason::QueueFull) sum += worker_sum(&WorkerCounters::strays_lost);
  return sum;
}

std::uint64_t Crew::counter(forwarder::Counter counter) const {
  std::uint64_t sum = 0;
  for (const auto& w : workers_) sum += w->forwarder().counters()[counter];
  return sum;
}

std::uint64_t Crew::udp(std::atomic<std::uint64_t> UdpCounters::*member) const {
  std::uint64_t sum = 0;
  const auto add = [&](const UdpSocket& s) { sum += (s.counters().*member).load(std::memory_order_relaxed); };
  for (const auto& w : workers_)
    for (const LineSockets& line : w->lines()) {
      add(line.data);
      if (line.control) add(*line.control);
      if (line.urgent) add(*line.urgent);
      if (line.sender) add(*line.sender);
    }
  return sum;
}

std::uint64_t Crew::xdp(std::atomic<std::uint64_t> XdpCounters::*member) const {
  std::uint64_t sum = 0;
  for (const LineSockets& line : lead().lines())
    if (line.xdp) sum += (line.xdp->counters().*member).load(std::memory_order_relaxed);
  return sum;
}

std::uint64_t Crew::worker_sum(std::atomic<std::uint64_t> WorkerCounters::*member) const {
  std::uint64_t sum = 0;
  for (const auto& w : workers_) sum += (w->counters().*member).load(std::memory_order_relaxed);
  return sum;
}

std::uint64_t Crew::worker_max(std::atomic<std::uint64_t> WorkerCounters::*member) const {
  std::uint64_t most = 0;
  for (const auto& w : workers_)
    most = std::max(most, (w->counters().*member).load(std::memory_order_relaxed));
  return most;
}

forwarder::Status Crew::status(base::Duration patience, bool take) {
  std::vector<std::future<forwarder::Status>> answers;
  for (const auto& w : workers_) {
    const auto promise = std::make_shared<std::promise<forwarder::Status>>();
    answers.push_back(promise->get_future());
    w->post([promise, take](forwarder::Forwarder& f, base::Time now) {
      promise->set_value(f.status(now, take));
    });
  }
  const auto deadline = std::chrono::steady_clock::now() + patience;
  forwarder::Status out;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (answers[i].wait_until(deadline) != std::future_status::ready) {
      if (i == 0) return {};
      continue;
    }
    if (i == 0)
      out = answers[i].get();
    else
      add_traffic(out, answers[i].get());
  }
  return out;
}

}  // namespace qanat::io
