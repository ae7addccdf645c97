// LinkLoop: carries all links of one linkem process on one thread, by epoll with the next packet's time as time-out.
// The only room here that reads the clock; other threads reach the links through call().
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tools/linkem/tun_link.hh"

namespace qanat::linkem {

class LinkLoop {
 public:
  LinkLoop();

  // Before run() only.
  void add(std::unique_ptr<TunLink> link);

  // Until stop(). Also watches `also` when it is not −1, and ends when that becomes readable.
  void run(int also = -1);
  void stop();  // from any thread

  // Runs `task` on the loop's thread and waits for it. Links are in the order of add(); `now` is the instant
  // of applying. Throws std::system_error (operation_canceled) once run() has returned.
  using Links = std::vector<std::unique_ptr<TunLink>>;
  void call(const std::function<void(Links&, base::Time now)>& task);

 private:
  void carry(int also);
  void run_tasks();
  base::Time hand_on(base::Time now);

  Fd epoll_, wake_;
  Links links_;
  std::vector<base::Time> due_;  // each link's next_timeout(), kept so that a wake-up need not ask them all
  std::mutex mutex_;
  std::vector<std::function<void()>> tasks_;  // guarded by mutex_
  bool stopping_ = false;                     // guarded by mutex_
  bool ended_ = false;                        // guarded by mutex_
};

}  // namespace qanat::linkem
