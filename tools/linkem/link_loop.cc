#include "tools/linkem/link_loop.hh"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <future>
#include <system_error>

#include "base/clock.hh"

namespace qanat::linkem {
namespace {

// Packets read from one end before the others get their turn: 64 of 1,500 B are 0.8 ms at 1 Gbit/s.
constexpr std::size_t kBatch = 64;
constexpr std::uint64_t kTimer = ~std::uint64_t{0}, kWake = kTimer - 1, kAlso = kTimer - 2;

void watch(int epoll, int fd, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
    throw std::system_error(errno, std::generic_category(), "watch a descriptor");
}

}  // namespace

LinkLoop::LinkLoop()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!epoll_ || !timer_ || !wake_)
    throw std::system_error(errno, std::generic_category(), "make an event loop");
  watch(epoll_.get(), timer_.get(), kTimer);
  watch(epoll_.get(), wake_.get(), kWake);
}

void LinkLoop::add(std::unique_ptr<TunLink> link) {
  for (std::size_t end = 0; end < 2; ++end) watch(epoll_.get(), link->fd(end), links_.size() * 2 + end);
  links_.push_back(std::move(link));
}

void LinkLoop::run(int also) {
  carry(also);
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  run_tasks();  // nobody is left waiting
}

void LinkLoop::carry(int also) {
  if (also >= 0) watch(epoll_.get(), also, kAlso);
  epoll_event events[64];
  for (;;) {
    const int ready = epoll_wait(epoll_.get(), events, 64, -1);
    if (ready < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "wait for packets");
    bool woken = false;
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t tag = events[i].data.u64;
      std::uint64_t ticks;
      if (tag == kAlso) return;
      if (tag == kTimer || tag == kWake) {
        [[maybe_unused]] const auto n =
            read(tag == kTimer ? timer_.get() : wake_.get(), &ticks, sizeof ticks);
        if (tag == kTimer) armed_ = kNever;
        woken |= tag == kWake;
      } else {
        links_[tag / 2]->read_from(tag % 2, kBatch, base::monotonic_now());
      }
    }
    if (woken) {
      run_tasks();
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    const base::Time now = base::monotonic_now();
    base::Time next = kNever;
    for (const auto& link : links_) {
      if (link->next_timeout() <= now) link->write_due(now);
      next = std::min(next, link->next_timeout());
    }
    if (next != armed_) arm(next);
  }
}

void LinkLoop::arm(base::Time when) {
  armed_ = when;
  itimerspec spec{};
  if (when != kNever) {
    // Zero would disarm; a time already past fires at once.
    const auto ns = std::max<std::int64_t>(when.time_since_epoch().count(), 1);
    spec.it_value.tv_sec = ns / 1'000'000'000;
    spec.it_value.tv_nsec = ns % 1'000'000'000;
  }
  if (timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &spec, nullptr) != 0)
    throw std::system_error(errno, std::generic_category(), "set a timer");
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

void LinkLoop::call(const std::function<void(Links&, base::Time)>& task) {
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
