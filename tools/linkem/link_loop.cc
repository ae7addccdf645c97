#include "tools/linkem/link_loop.hh"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <system_error>

#include "base/clock.hh"

namespace qanat::linkem {
namespace {

using namespace std::chrono_literals;

// Packets read from one end before the others get their turn: 64 of 1,500 B are 0.8 ms at 1 Gbit/s.
constexpr std::size_t kBatch = 64;
// A turn that reads fewer than this, so soon after the last, is worth a pause: at 10,000 packets/s that halves
// the work, and it stays well below the 0.5 ms that a packet may be late.
constexpr std::size_t kLittle = 8;
constexpr base::Duration kSoon = 150us;
constexpr int kMaxEvents = 64;
constexpr std::uint64_t kWake = ~std::uint64_t{0}, kAlso = kWake - 1;

void watch(int epoll, int fd, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
    throw std::system_error(errno, std::generic_category(), "watch a descriptor");
}

}  // namespace

LinkLoop::LinkLoop(Options options)
    : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!epoll_ || !wake_) throw std::system_error(errno, std::generic_category(), "make an event loop");
  watch(epoll_.get(), wake_.get(), kWake);
}

void LinkLoop::add(std::unique_ptr<TunLink> link) {
  for (std::size_t end = 0; end < 2; ++end) watch(epoll_.get(), link->fd(end), links_.size() * 2 + end);
  links_.push_back(std::move(link));
  due_.push_back(kNever);
}

void LinkLoop::run(int also) {
  prctl(PR_SET_TIMERSLACK, 1);  // or the kernel may add 50 µs to every wait
  carry(also);
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  run_tasks();  // nobody is left waiting
}

int LinkLoop::wait_for_packets(void* events, base::Time next) {
  timespec wait{};
  if (next != kNever) {
    const std::int64_t left = (next - base::monotonic_now() - options_.spin).count();
    if (left > 0) wait = {left / 1'000'000'000, left % 1'000'000'000};
  }
  const int ready = epoll_pwait2(epoll_.get(), static_cast<epoll_event*>(events), kMaxEvents,
                                 next == kNever ? nullptr : &wait, nullptr);
  if (ready < 0 && errno != EINTR)
    throw std::system_error(errno, std::generic_category(), "wait for packets");
  return ready;
}

void LinkLoop::carry(int also) {
  if (also >= 0) watch(epoll_.get(), also, kAlso);
  epoll_event events[kMaxEvents];
  base::Time next = timers_.empty() ? kNever : timers_.begin()->first;
  base::Time turn_before{};
  for (;;) {
    const int ready = wait_for_packets(events, next);
    bool woken = false;
    std::size_t packets = 0;
    base::Time now = base::monotonic_now();
    const base::Time turn = now;
    priority_.on_turn(now);
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t tag = events[i].data.u64;
      if (tag == kAlso) return;
      if (tag == kWake) {
        std::uint64_t ticks;
        [[maybe_unused]] const auto n = read(wake_.get(), &ticks, sizeof ticks);
        woken = true;
        continue;
      }
      TunLink& link = *links_[tag / 2];
      packets += link.read_from(tag % 2, kBatch, now);
      now = base::monotonic_now();
      due_[tag / 2] = link.next_timeout();
      // What is due at once is not kept waiting for the other ends' packets.
      if (due_[tag / 2] <= now) {
        link.write_due(now);
        due_[tag / 2] = link.next_timeout();
      }
    }
    if (woken) {
      run_tasks();
      refresh_due();
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    if (!timers_.empty() && timers_.begin()->first <= now) run_timers(now);
    next = hand_on(now);
    if (packets > 0 && packets < kLittle && turn - turn_before < kSoon && options_.gather.count() > 0) {
      const timespec pause{0, options_.gather.count()};
      clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, nullptr);
    }
    turn_before = turn;
  }
}

void LinkLoop::refresh_due() {
  for (std::size_t i = 0; i < links_.size(); ++i) due_[i] = links_[i]->next_timeout();
}

void LinkLoop::run_timers(base::Time now) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    const auto first = timers_.extract(timers_.begin());
    first.mapped()(links_, base::monotonic_now());
  }
  refresh_due();
}

// Writes everything due by `now`; returns when something is to be done next.
base::Time LinkLoop::hand_on(base::Time now) {
  base::Time next = timers_.empty() ? kNever : timers_.begin()->first;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    if (due_[i] <= now) {
      links_[i]->write_due(now);
      due_[i] = links_[i]->next_timeout();
    }
    next = std::min(next, due_[i]);
  }
  return next;
}

void LinkLoop::run_tasks() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (const auto& task : tasks) task();
}

void LinkLoop::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(wake_.get(), &one, sizeof one);
}

void LinkLoop::call(const Task& task) {
  std::promise<void> done;
  {
    const std::lock_guard lock(mutex_);
    if (ended_)
      throw std::system_error(std::make_error_code(std::errc::operation_canceled), "linkem is ending");
    tasks_.push_back([&] {
      try {
        task(links_, base::monotonic_now());
        done.set_value();
      } catch (...) {
        done.set_exception(std::current_exception());
      }
    });
  }
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto n = write(wake_.get(), &one, sizeof one);
  done.get_future().get();
}

}  // namespace qanat::linkem
