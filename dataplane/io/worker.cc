#include "dataplane/io/worker.hh"

#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/clock.hh"
#include "dataplane/io/worker_frames.hh"

namespace qanat::io {
namespace {

constexpr std::size_t kMostMail = 64;  // a worker that leaves more lying is late: no more strays for it
// A short slice has an early deadline: whoever wakes up wanting little goes before those who want much (EEVDF, Linux 6.12).
constexpr std::uint64_t kSliceNs = 100'000;
constexpr int kForemost = -20;  // nice, of a worker that goes ahead in the fair class

// sched_setattr(2)'s; glibc 2.36 has none.
struct SchedAttr {
  std::uint32_t size = sizeof(SchedAttr);
  std::uint32_t policy = SCHED_OTHER;
  std::uint64_t flags = 0;
  std::int32_t nice = 0;
  std::uint32_t priority = 0;
  std::uint64_t runtime = 0;
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};

void bump(std::atomic<std::uint64_t>& counter, std::uint64_t n = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
}

}  // namespace

Worker::Worker(forwarder::ForwarderOptions forwarder, std::vector<LineSockets> lines, WorkerOptions options,
               EventHandler on_event, Route route)
    : options_(std::move(options)),
      forwarder_(std::move(forwarder)),
      on_event_(std::move(on_event)),
      route_(std::move(route)),
      lines_(std::move(lines)),
      frames_(std::make_unique<Frames>()),
      linger_({options_.anticipation, options_.linger}),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      urgent_(::epoll_create1(EPOLL_CLOEXEC)),
      bell_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!epoll_ || !urgent_) throw_errno("make", "an epoll instance");
  if (!bell_) throw_errno("make", "an eventfd");
  watch(epoll_, bell_.get(), token(Source::Bell, 0));
  watch(epoll_, urgent_.get(), token(Source::Urgent, 0));
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    watch(epoll_, lines_[i].data.fd(), token(Source::Data, i));
    if (lines_[i].control) watch(urgent_, lines_[i].control->fd(), token(Source::Control, i));
    if (lines_[i].urgent) watch(urgent_, lines_[i].urgent->fd(), token(Source::Data, i));
    if (lines_[i].xdp) watch(epoll_, lines_[i].xdp->fd(), token(Source::Xdp, i));
  }
}

Worker::~Worker() { stop(); }

void Worker::watch(const Fd& epoll, int fd, std::uint64_t what) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = what;
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw_errno("watch", "a descriptor");
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
    ::prctl(PR_SET_TIMERSLACK, 1UL);  // ns: a rest of 50 µs is not twice that
    set_class(false);
    loop();
  });
}

// Of the calling thread. False: it may not be put ahead.
bool Worker::set_class(bool ahead) {
  const auto set = [](const SchedAttr& attributes) {
    return ::syscall(SYS_sched_setattr, 0, &attributes, 0) == 0;
  };
  SchedAttr real_time;
  real_time.policy = SCHED_RR;
  real_time.priority = 1;
  const bool is_real_time = ahead && options_.real_time && set(real_time);
  counters_.real_time.store(is_real_time ? 1 : 0, std::memory_order_relaxed);
  if (is_real_time) return true;
  SchedAttr fair;
  fair.nice = ahead ? kForemost : options_.niceness;
  fair.runtime = kSliceNs;
  if (set(fair)) return true;
  if (ahead) return false;
  fair.nice = 0;  // whoever may not be nicer than others may still have to leave the real-time class
  return set(fair);
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
      if (line.urgent) set(*line.urgent);
      if (line.sender) set(*line.sender);
    }
  });
}

void Worker::apply_tuns(std::vector<WorkerTun> tuns) {
  for (const WorkerTun& t : tuns_) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, t.device->fd(t.queue), nullptr);
    if (t.device->has_urgent())
      ::epoll_ctl(urgent_.get(), EPOLL_CTL_DEL, t.device->fd(t.device->urgent(t.queue)), nullptr);
  }
  tuns_ = std::move(tuns);
  tun_ready_.assign(tuns_.size(), false);
  for (std::size_t i = 0; i < tuns_.size(); ++i) {
    const TunDevice& device = *tuns_[i].device;
    watch(epoll_, device.fd(tuns_[i].queue), token(Source::Tun, i));
    if (device.has_urgent()) watch(urgent_, device.fd(device.urgent(tuns_[i].queue)), token(Source::Tun, i));
  }
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
      for (std::size_t i = 0; i < srv6_->links(); ++i) watch(epoll_, srv6_->fd(i), token(Source::Srv6, i));
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

}  // namespace qanat::io
