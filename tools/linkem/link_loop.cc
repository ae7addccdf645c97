#include "tools/linkem/link_loop.hh"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <future>
#include <system_error>

#include "base/clock.hh"

namespace qanat::linkem {
namespace {

// Packets read from one end before the others get their turn: 64 of 1,500 B are 0.8 ms at 1 Gbit/s.
constexpr std::size_t kBatch = 64;
// A pause after each turn, so that a busy loop handles several packets a turn: at 10,000 packets/s it
// halves the work, and it stays well below the 0.5 ms that a packet may be late.
constexpr timespec kPause{0, 60'000};
constexpr std::uint64_t kWake = ~std::uint64_t{0}, kAlso = kWake - 1;

void watch(int epoll, int fd, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
    throw std::system_error(errno, std::generic_category(), "watch a descriptor");
}

}  // namespace

LinkLoop::LinkLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (!epoll_ || !wake_) throw std::system_error(errno, std::generic_category(), "make an event loop");
  watch(epoll_.get(), wake_.get(), kWake);
}

void LinkLoop::add(std::unique_ptr<TunLink> link) {
  for (std::size_t end = 0; end < 2; ++end) watch(epoll_.get(), link->fd(end), links_.size() * 2 + end);
  links_.push_back(std::move(link));
  due_.push_back(kNever);
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
  base::Time next = kNever;
  for (;;) {
    // The kernel's timer of an absolute time would be one more call per packet; the difference is the same sleep.
    const std::int64_t left =
        next == kNever ? 0 : std::max<std::int64_t>((next - base::monotonic_now()).count(), 0);
    const timespec wait{left / 1'000'000'000, left % 1'000'000'000};
    const int ready = epoll_pwait2(epoll_.get(), events, 64, next == kNever ? nullptr : &wait, nullptr);
    if (ready < 0 && errno != EINTR)
      throw std::system_error(errno, std::generic_category(), "wait for packets");
    bool woken = false;
    base::Time now = base::monotonic_now();
    for (int i = 0; i < ready; ++i) {
      const std::uint64_t tag = events[i].data.u64;
      if (tag == kAlso) return;
      if (tag == kWake) {
        std::uint64_t ticks;
        [[maybe_unused]] const auto n = read(wake_.get(), &ticks, sizeof ticks);
        woken = true;
      } else {
        links_[tag / 2]->read_from(tag % 2, kBatch, now);
        due_[tag / 2] = links_[tag / 2]->next_timeout();
        now = base::monotonic_now();
      }
    }
    if (woken) {
      run_tasks();
      for (std::size_t i = 0; i < links_.size(); ++i) due_[i] = links_[i]->next_timeout();
      const std::lock_guard lock(mutex_);
      if (stopping_) return;
    }
    next = hand_on(now);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &kPause, nullptr);
  }
}

// Writes everything due by `now`; returns when the next packet is.
base::Time LinkLoop::hand_on(base::Time now) {
  base::Time next = kNever;
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
