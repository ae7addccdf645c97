#include "dataplane/io/worker.hh"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/clock.hh"
#include "dataplane/qos/classifier.hh"
#include "dataplane/qos/tier_queue.hh"

namespace qanat::io {
namespace {

// What an epoll event is about: kind ‖ index.
enum class Source : std::uint32_t { Bell, Control, Data, Tun, Srv6 };
constexpr std::uint64_t token(Source source, std::size_t index) {
  return static_cast<std::uint64_t>(source) << 32 | index;
}

// Read before sealing: this many frames, or four of the largest, so that all of it stays in L2.
constexpr std::size_t kFramesPerTurn = 64;
constexpr std::size_t kFrameBytes = 4 * kTunReadBytes;
constexpr std::size_t kSendBytes = 256 * 1024;  // trains waiting: send them before reading on
constexpr unsigned kControlTurns = 8;           // of kBatch trains each: probes first, but not for ever
constexpr std::size_t kMaxPieces = 128;         // a super-packet has at most 65 and its virtio header
constexpr base::Duration kLongestWait = std::chrono::seconds{1};
constexpr std::size_t kMostMail = 64;  // a worker that leaves more lying is late: no more strays for it

void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

}  // namespace

// Frames read in one turn lie end to end.
struct Worker::Frames {
  struct Frame {
    std::uint8_t* bytes = nullptr;
    std::size_t size = 0;
    ids::Vni vni;
  };
  std::unique_ptr<std::uint8_t[]> buffer = std::make_unique_for_overwrite<std::uint8_t[]>(kFrameBytes);
  qos::TierQueue<Frame, kFramesPerTurn> queue;
};

Worker::Worker(forwarder::ForwarderOptions forwarder, std::vector<LineSockets> lines, WorkerOptions options,
               EventHandler on_event, Route route)
    : options_(std::move(options)),
      forwarder_(std::move(forwarder)),
      on_event_(std::move(on_event)),
      route_(std::move(route)),
      lines_(std::move(lines)),
      frames_(std::make_unique<Frames>()),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      bell_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!epoll_) throw_errno("make", "an epoll instance");
  if (!bell_) throw_errno("make", "an eventfd");
  watch(bell_.get(), token(Source::Bell, 0));
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    watch(lines_[i].data.fd(), token(Source::Data, i));
    if (lines_[i].control) watch(lines_[i].control->fd(), token(Source::Control, i));
  }
}

Worker::~Worker() { stop(); }

void Worker::watch(int fd, std::uint64_t what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = what;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("watch", "a descriptor");
}

void Worker::start() {
  stopping_ = false;
  thread_ = std::thread([this] {
    ::pthread_setname_np(::pthread_self(), options_.name.substr(0, 15).c_str());
    if (options_.cpu >= 0) {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(static_cast<unsigned>(options_.cpu), &set);
      ::pthread_setaffinity_np(::pthread_self(), sizeof set, &set);
    }
    ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), options_.niceness);
    loop();
  });
}

void Worker::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  post([](forwarder::Forwarder&, base::Time) {});
  thread_.join();
}

void Worker::post(Task task) {
  {
    const std::lock_guard lock(mail_lock_);
    mail_.push_back(std::move(task));
    mail_count_.store(mail_.size(), std::memory_order_release);
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(bell_.get(), &one, sizeof one);
}

void Worker::deliver(forwarder::Message message) {
  if (std::holds_alternative<forwarder::Stray>(message.payload) &&
      mail_count_.load(std::memory_order_relaxed) > kMostMail) {
    const auto& stray = std::get<forwarder::Stray>(message.payload);
    bump(counters_.strays_lost, stray.datagrams.size() + stray.frames.size());
    return;
  }
  post([m = std::make_shared<forwarder::Message>(std::move(message))](
           forwarder::Forwarder& f, base::Time now) { f.on_message(*m, now); });
}

void Worker::set_tuns(std::vector<WorkerTun> tuns) {
  post([this, tuns = std::move(tuns)](forwarder::Forwarder&, base::Time) mutable {
    apply_tuns(std::move(tuns));
  });
}

void Worker::set_udp_offloads(bool segment, bool gather) {
  post([this, segment, gather](forwarder::Forwarder&, base::Time) {
    const auto set = [&](UdpSocket& s) {
      s.set_segment(segment);
      s.set_gather(gather);
    };
    for (LineSockets& line : lines_) {
      set(line.data);
      if (line.control) set(*line.control);
      if (line.sender) set(*line.sender);
    }
  });
}

void Worker::apply_tuns(std::vector<WorkerTun> tuns) {
  for (const WorkerTun& t : tuns_) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, t.device->fd(t.queue), nullptr);
  tuns_ = std::move(tuns);
  tun_ready_.assign(tuns_.size(), false);
  for (std::size_t i = 0; i < tuns_.size(); ++i)
    watch(tuns_[i].device->fd(tuns_[i].queue), token(Source::Tun, i));
}

bool Worker::write_tun(ids::Vni vni, std::span<const iovec> parts) {
  const auto tun = std::find_if(tuns_.begin(), tuns_.end(), [&](const WorkerTun& t) { return t.vni == vni; });
  if (tun == tuns_.end()) return false;
  bump(counters_.tun_writes);
  return tun->device->write(tun->queue, parts);
}

void Worker::set_tap(std::shared_ptr<CaptureTap> tap) {
  post([this, tap = std::move(tap)](forwarder::Forwarder&, base::Time) { tap_ = tap; });
}

void Worker::set_srv6(std::shared_ptr<Srv6Port> port, bool reads) {
  post([this, reads, port = std::move(port)](forwarder::Forwarder&, base::Time) {
    srv6_ = port;
    if (reads)
      for (std::size_t i = 0; i < srv6_->links(); ++i) watch(srv6_->fd(i), token(Source::Srv6, i));
  });
}

void Worker::read_mail() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t n = ::read(bell_.get(), &count, sizeof count);
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mail_lock_);
    tasks.swap(mail_);
    mail_count_.store(0, std::memory_order_relaxed);
  }
  for (const Task& task : tasks) task(forwarder_, base::monotonic_now());
  flush();  // while strays' bytes still stand
}

void Worker::route_messages() {
  while (auto message = forwarder_.poll_message())
    if (route_) route_(std::move(*message));
}

void Worker::loop() {
  std::array<epoll_event, 64> events{};
  forwarder_.set_unix_time(base::unix_now());
  base::Time unix_read = base::monotonic_now();
  base::Time last_data{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    // 1. Wait for input or the next timer.
    base::Time now = base::monotonic_now();
    const base::Time due = forwarder_.next_timeout();
    // An answer often follows within the time that two wake-ups take; others get the CPU meanwhile if they want it.
    const bool lingering = now - last_data < options_.linger;
    const base::Duration wait =
        due <= now || lingering ? base::Duration{} : std::min<base::Duration>(due - now, kLongestWait);
    const timespec timeout{static_cast<time_t>(wait.count() / 1'000'000'000),
                           static_cast<long>(wait.count() % 1'000'000'000)};
    const int count =
        ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    now = base::monotonic_now();
    if (lingering && count == 0 && due > now) {
      ::sched_yield();
      continue;
    }
    bump(counters_.wakeups);
    if (now - unix_read > std::chrono::seconds{1}) {
      forwarder_.set_unix_time(base::unix_now());
      unix_read = now;
    }
    const auto ready = std::span(events).first(static_cast<std::size_t>(std::max(count, 0)));
    const auto each = [&](Source wanted, auto action) {
      for (const epoll_event& e : ready)
        if (e.data.u64 >> 32 == static_cast<std::uint64_t>(wanted))
          action(static_cast<std::size_t>(e.data.u64 & 0xffffffff));
    };
    // 2. Probes and handshakes before anything else: what they say is only as good as it is fresh.
    bool drained = true;
    each(Source::Control, [&](std::size_t i) {
      unsigned turns = 0;
      UdpSocket& control = *lines_[i].control;
      while (receive(control, now) && control.more() && ++turns < kControlTurns) {
      }
      drained = drained && turns < kControlTurns;
    });
    if (drained) forwarder_.on_drained(now);
    // 3. Data from other boxes: one batch of each socket a turn.
    each(Source::Data, [&](std::size_t i) {
      receive(lines_[i].data, now);
      last_data = now;
    });
    // 4. Timers.
    now = base::monotonic_now();
    if (due <= now) {
      // A due time in the distant past only says "at once".
      const base::Duration late = now - due;
      overload_.on_timer(late < kLongestWait ? late : base::Duration{});
      counters_.lateness_us.store(static_cast<std::uint64_t>(overload_.lateness().count() / 1000),
                                  std::memory_order_relaxed);
      forwarder_.on_timer(now);
      flush();
    }
    // 5. Tenants' packets, the urgent first.
    each(Source::Tun, [&](std::size_t i) {
      tun_ready_[i] = true;
      last_data = now;
    });
    read_tuns(now);
    each(Source::Srv6, [&](std::size_t i) { read_srv6(i, now); });
    // 6. Whatever other threads want.
    each(Source::Bell, [&](std::size_t) { read_mail(); });
    while (const auto event = forwarder_.poll_event())
      if (on_event_) on_event_(*event);
  }
}

bool Worker::receive(UdpSocket& socket, base::Time now) {
  const auto trains = socket.receive();
  if (trains.empty()) return false;
  // Keys that a peer already uses were posted before it could: they are in the mail, if they are not yet ours.
  if (mail_count_.load(std::memory_order_acquire) != 0) read_mail();
  if (tap_ != nullptr && tap_->sealed())
    for (const forwarder::Datagrams& train : trains) tap_->record_train(socket.local(), train, true);
  forwarder_.on_datagrams(trains, now);
  flush();
  return true;
}

void Worker::read_tuns(base::Time now) {
  Frames& frames = *frames_;
  std::uint8_t* const begin = frames.buffer.get();
  std::size_t used = 0;
  for (std::size_t i = 0; i < tuns_.size(); ++i) {
    if (!tun_ready_[i]) continue;
    tun_ready_[i] = false;
    const WorkerTun& tun = tuns_[i];
    // Each TUN gets its share of the turn; level-triggered epoll comes back for the rest.
    const std::size_t share = std::max<std::size_t>(1, kFramesPerTurn / tuns_.size());
    for (std::size_t n = 0; n < share && used + kTunReadBytes <= kFrameBytes; ++n) {
      std::uint8_t* const at = begin + used;
      const std::size_t size = tun.device->read(tun.queue, {at, kTunReadBytes});
      if (size <= kVnetHeaderBytes) break;
      bump(counters_.tun_reads);
      const ids::Tier tier = qos::classify({at + kVnetHeaderBytes, size - kVnetHeaderBytes});
      if (overload_.sheds(tier)) {
        bump(counters_.shed);
        forwarder_.drops().count(packet::DropReason::Shed);
        continue;
      }
      if (!frames.queue.enqueue(tier, {at, size, tun.vni})) {
        forwarder_.drops().count(packet::DropReason::QueueFull);
        continue;
      }
      used += (size + 63) / 64 * 64;
    }
  }
  while (const auto frame = frames.queue.dequeue()) {
    if (tap_ != nullptr && tap_->clear()) {
      const packet::Bytes whole(frame->bytes, frame->size);
      const packet::Bytes body = whole.subspan(kVnetHeaderBytes);
      tap_->record_packet(frame->vni, false, packet::VirtioHeader::parse(whole), {&body, 1});
    }
    if (srv6_ != nullptr && steer_frame(frame->vni, {frame->bytes, frame->size})) continue;
    forwarder_.on_tun_packet(frame->vni, {frame->bytes, frame->size}, now);
    if (forwarder_.transmit_bytes() >= kSendBytes) send();
  }
  send();
}

void Worker::flush() {
  route_messages();  // before the datagrams that make them true at the far end
  if (forwarder_.delivery_pending()) write_tuns();
  send();
}

void Worker::send() {
  route_messages();
  const auto trains = forwarder_.transmit();
  if (trains.empty()) return;
  if (tap_ != nullptr && tap_->sealed())
    for (const forwarder::Datagrams& train : trains)
      tap_->record_train(lines_[train.line].outgoing().local(), train, false);
  // Consecutive trains of one line go to the kernel together.
  for (std::size_t i = 0; i < trains.size();) {
    std::size_t end = i + 1;
    while (end < trains.size() && trains[end].line == trains[i].line) ++end;
    const std::size_t lost = lines_[trains[i].line].outgoing().send(trains.subspan(i, end - i));
    if (lost != 0) forwarder_.drops().count(packet::DropReason::SendFailed, lost);
    i = end;
  }
  forwarder_.transmitted();
}

void Worker::write_tuns() {
  std::array<iovec, kMaxPieces> parts{};
  std::array<std::uint8_t, kVnetHeaderBytes> header{};
  for (const forwarder::TunWrite& write : forwarder_.deliver()) {
    if (tap_ != nullptr && tap_->clear())
      tap_->record_packet(write.vni, true, write.packet.virtio, write.packet.pieces);
    if (srv6_ != nullptr && steer_delivery(write)) continue;
    const std::size_t pieces = write.packet.pieces.size();
    if (pieces + 1 > kMaxPieces) {
      forwarder_.drops().count(packet::DropReason::TunFailed, write.packet.segments);
      continue;
    }
    write.packet.virtio.serialize(header);
    parts[0] = {header.data(), header.size()};
    for (std::size_t i = 0; i < pieces; ++i)
      parts[i + 1] = {const_cast<std::uint8_t*>(write.packet.pieces[i].data()),
                      write.packet.pieces[i].size()};
    if (!write_tun(write.vni, {parts.data(), pieces + 1}))
      forwarder_.drops().count(packet::DropReason::TunFailed, write.packet.segments);
  }
  forwarder_.delivered();
}

}  // namespace qanat::io
