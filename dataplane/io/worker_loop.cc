// The loop of one worker: what it looks at, in which order, and how much of it before something more urgent may have come.
#include <sched.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include <algorithm>
#include <array>

#include "base/clock.hh"
#include "dataplane/io/worker_frames.hh"
#include "dataplane/qos/classifier.hh"

namespace qanat::io {
namespace {

constexpr unsigned kControlTurns = 8;    // of kBatch trains each: probes first, but not for ever
constexpr unsigned kUrgentFrames = 32;   // `critical` goes first, but leaves bulk its turn
constexpr std::size_t kMaxPieces = 128;  // a super-packet has at most 65 and its virtio header
constexpr base::Duration kLongestWait = std::chrono::seconds{1};

void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

template <class Action>
void each(std::span<const epoll_event> events, Source wanted, Action action) {
  for (const epoll_event& e : events)
    if (e.data.u64 >> 32 == static_cast<std::uint64_t>(wanted))
      action(static_cast<std::size_t>(e.data.u64 & 0xffffffff));
}

timespec to_timespec(base::Duration time) {
  return {static_cast<time_t>(time.count() / 1'000'000'000), static_cast<long>(time.count() % 1'000'000'000)};
}

std::span<const epoll_event> ready(std::span<const epoll_event> events, int count) {
  return events.first(static_cast<std::size_t>(std::max(count, 0)));
}

}  // namespace

void Worker::loop() {
  std::array<epoll_event, 64> events{};
  forwarder_.set_unix_time(base::unix_now());
  base::Time unix_read = base::monotonic_now();
  while (!stopping_.load(std::memory_order_relaxed)) {
    // 1. Wait for input or the next timer. An answer often follows within the time that two wake-ups take; others get
    //    the CPU meanwhile if they want it.
    base::Time now = base::monotonic_now();
    const base::Time due = forwarder_.next_timeout();
    // Ahead of the others a yield yields to nobody: then it sleeps at once.
    const bool looking = linger_.looks(now) && !precedence_.ahead();
    const base::Duration wait =
        due <= now || looking ? base::Duration{} : std::min<base::Duration>(due - now, kLongestWait);
    const timespec timeout = to_timespec(wait);
    const base::Time asleep = now;
    const auto seen = ready(events, ::epoll_pwait2(epoll_.get(), events.data(),
                                                   static_cast<int>(events.size()), &timeout, nullptr));
    now = base::monotonic_now();
    if (wait > base::Duration{}) precedence_.slept(now - asleep);
    if (looking && seen.empty() && due > now) {
      ::sched_yield();
      continue;
    }
    bump(counters_.wakeups);
    if (now - unix_read > std::chrono::seconds{1}) {
      forwarder_.set_unix_time(base::unix_now());
      unix_read = now;
    }
    // 2. Probes and handshakes before anything else: what they say is only as good as it is fresh. Then `critical`.
    bool drained = true;
    each(seen, Source::Urgent, [&](std::size_t) { drained = serve_urgent(now); });
    if (drained) forwarder_.on_drained(now);
    // 3. Data from other boxes: one batch of each socket a turn.
    each(seen, Source::Data, [&](std::size_t i) {
      linger_.on_work(now);
      receive(lines_[i].data, now, false);
    });
    each(seen, Source::Xdp, [&](std::size_t i) {
      linger_.on_work(now);
      take(lines_[i].xdp->receive(), lines_[i].xdp->local(), now, false);
    });
    // 4. Timers.
    now = base::monotonic_now();
    if (due <= now) on_timers(due, now);
    // 5. Tenants' packets, by tier.
    bool any = false;
    each(seen, Source::Tun, [&](std::size_t i) { any = tun_ready_[i] = true; });
    if (any) {
      linger_.on_work(now);
      read_tuns(now);
    }
    each(seen, Source::Srv6, [&](std::size_t i) { read_srv6(i, now); });
    // 6. Whatever other threads want.
    each(seen, Source::Bell, [&](std::size_t) { read_mail(); });
    while (const auto event = forwarder_.poll_event())
      if (on_event_) on_event_(*event);
    keep_precedence(now);
  }
}

void Worker::keep_precedence(base::Time now) {
  if (precedence_.sample_due(now)) {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    const bool before = precedence_.ahead();
    precedence_.sample(now, static_cast<std::uint64_t>(usage.ru_nivcsw));
    if (before != precedence_.ahead() && !set_class(precedence_.ahead())) precedence_.refused();
  }
  if (precedence_.ahead()) make_way();
}

void Worker::make_way() {
  const base::Time now = base::monotonic_now();
  serve_urgent(now);
  // The rest of the machine's share: only what is urgent ends it.
  const base::Duration rest = precedence_.rest(now);
  if (rest == base::Duration{}) return;
  epoll_event event{};
  const timespec timeout = to_timespec(rest);
  if (::epoll_pwait2(urgent_.get(), &event, 1, &timeout, nullptr) > 0) serve_urgent(base::monotonic_now());
}

void Worker::on_timers(base::Time due, base::Time now) {
  // A due time in the distant past only says "at once".
  const base::Duration late = now - due;
  overload_.on_timer(late < kLongestWait ? late : base::Duration{});
  counters_.lateness_us.store(static_cast<std::uint64_t>(overload_.lateness().count() / 1000),
                              std::memory_order_relaxed);
  forwarder_.on_timer(now);
  flush();
}

bool Worker::serve_urgent(base::Time now) {
  std::array<epoll_event, 32> events{};
  const auto seen =
      ready(events, ::epoll_wait(urgent_.get(), events.data(), static_cast<int>(events.size()), 0));
  bool drained = true;
  each(seen, Source::Control,
       [&](std::size_t i) { drained = read_control(*lines_[i].control, now) && drained; });
  each(seen, Source::Data, [&](std::size_t i) {
    linger_.on_work(now);
    precedence_.on_urgent(now);
    receive(*lines_[i].urgent, now, true);
  });
  each(seen, Source::Tun, [&](std::size_t i) {
    linger_.on_work(now);
    precedence_.on_urgent(now);
    read_urgent_tun(tuns_[i], now);
  });
  return drained;
}

// True when it is empty.
bool Worker::read_control(UdpSocket& control, base::Time now) {
  for (unsigned turns = 0; turns < kControlTurns; ++turns)
    if (!receive(control, now, true) || !control.more()) return true;
  return false;
}

bool Worker::receive(UdpSocket& socket, base::Time now, bool urgent) {
  return take(socket.receive(), socket.local(), now, urgent);
}

bool Worker::take(std::span<const forwarder::Datagrams> trains, const packet::UdpAddress& local,
                  base::Time now, bool urgent) {
  if (trains.empty()) return false;
  // Keys that a peer already uses were posted before it could: they are in the mail, if they are not yet ours.
  if (mail_count_.load(std::memory_order_acquire) != 0) read_mail();
  if (tap_ != nullptr && tap_->sealed())
    for (const forwarder::Datagrams& train : trains) tap_->record_train(local, train, true);
  while (!trains.empty()) {
    std::size_t count = 0, bytes = 0;
    for (; count < trains.size() && (urgent || bytes < kBulkBytes); ++count)
      bytes += trains[count].bytes.size();
    forwarder_.on_datagrams(trains.first(count), now);
    flush();
    trains = trains.subspan(count);
    if (!urgent && (bytes > kFewBytes || precedence_.ahead())) make_way();
  }
  return true;
}

void Worker::read_urgent_tun(const WorkerTun& tun, base::Time now) {
  std::uint8_t* const bytes = frames_->urgent.get();
  for (unsigned n = 0; n < kUrgentFrames; ++n) {
    const std::size_t size = tun.device->read(tun.device->urgent(tun.queue), {bytes, kTunReadBytes});
    if (size <= kVnetHeaderBytes) break;
    bump(counters_.tun_reads);
    take_frame(tun.vni, {bytes, size}, now);
  }
  send();
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
    const std::size_t share = std::max<std::size_t>(1, Frames::kPerTurn / tuns_.size());
    for (std::size_t n = 0; n < share && used + kTunReadBytes <= Frames::kBytes; ++n) {
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
    take_frame(frame->vni, {frame->bytes, frame->size}, now);
    if (forwarder_.transmit_bytes() < kBulkBytes) continue;
    send();
    make_way();
  }
  send();
}

void Worker::take_frame(ids::Vni vni, packet::MutableBytes frame, base::Time now) {
  if (tap_ != nullptr && tap_->clear()) {
    const packet::Bytes body = frame.subspan(kVnetHeaderBytes);
    tap_->record_packet(vni, false, packet::VirtioHeader::parse(frame), {&body, 1});
  }
  if (srv6_ != nullptr && steer_frame(vni, frame)) return;
  forwarder_.on_tun_packet(vni, frame, now);
}

void Worker::route_messages() {
  while (auto message = forwarder_.poll_message())
    if (route_) route_(std::move(*message));
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
      tap_->record_train(lines_[train.line].outgoing(train).local(), train, false);
  // Consecutive trains of one socket go to the kernel together.
  for (std::size_t i = 0; i < trains.size();) {
    UdpSocket& socket = lines_[trains[i].line].outgoing(trains[i]);
    std::size_t end = i + 1;
    while (end < trains.size() && &lines_[trains[end].line].outgoing(trains[end]) == &socket) ++end;
    auto group = trains.subspan(i, end - i);
    LineSockets& line = lines_[trains[i].line];
    if (line.xdp && &socket == &line.data) group = group.subspan(line.xdp->send(group));
    const std::size_t lost = socket.send(group);
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
