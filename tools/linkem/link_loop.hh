// LinkLoop: carries all links of one linkem process on one thread, by epoll with the next packet's time as time-out.
// The only room here that reads the clock; other threads reach the links through call().
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tools/linkem/priority.hh"
#include "tools/linkem/tun_link.hh"

namespace qanat::linkem {

class LinkLoop {
 public:
  struct Options {
    // A packet due sooner than this is waited for by polling, since the kernel's timer would be later.
    base::Duration spin = std::chrono::microseconds{5};
    // After a turn that follows close on another and found little: how long to let packets gather.
    base::Duration gather = std::chrono::microseconds{40};
  };
  explicit LinkLoop(Options options);
  LinkLoop() : LinkLoop(Options{}) {}

  // What all links added here are made with.
  const std::shared_ptr<FramePool>& pool() const { return pool_; }
  // Before run() only.
  void add(std::unique_ptr<TunLink> link);

  // Until stop(). Also watches `also` when it is not −1, and ends when that becomes readable.
  void run(int also = -1);
  void stop();  // from any thread

  // Links are in the order of add(); `now` is the instant of applying.
  using Links = std::vector<std::unique_ptr<TunLink>>;
  using Task = std::function<void(Links&, base::Time now)>;
  // Runs `task` on the loop's thread and waits for it. Throws std::system_error (operation_canceled) once
  // run() has returned.
  void call(const Task& task);
  // Runs `task` at `when`, at once if that has passed; before run(), or on the loop's thread.
  void at(base::Time when, Task task) { timers_.emplace(when, std::move(task)); }

 private:
  void carry(int also);
  void run_tasks();
  void run_timers(base::Time now);
  void refresh_due();
  base::Time hand_on(base::Time now);
  int wait_for_packets(void* events, base::Time next);

  Options options_;
  Priority priority_;
  Fd epoll_, wake_;
  std::shared_ptr<FramePool> pool_ = std::make_shared<FramePool>();
  Links links_;
  std::vector<base::Time> due_;  // each link's next_timeout(), kept so that a wake-up need not ask them all
  std::multimap<base::Time, Task> timers_;
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                     // guarded by mutex_
  bool ended_ = false;                        // guarded by mutex_
};

}  // namespace qanat::linkem
