// Checkpointer: moves what stands in a database's log (WAL) into the file, on a thread and a handle of its own, between
// commits: none of them waits for it. SQLite would do it inside every thousandth page's commit.
//
// Nothing durable hangs on it: a commit is in the log, and synced, before it returns; what a kill or a power cut leaves
// half moved is moved again from the log at the next opening, and the log begins anew only once the file is synced.
#pragma once

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "base/time.hh"

namespace qanat::store {

class Checkpointer {
 public:
  static constexpr int kWorthwhile = 1000;  // pages, of 4 KiB, from which the log is moved
  static constexpr int kMost = 4000;        // pages: the log grows no further, a commit moves it itself
  // It begins when there was no commit for so long, or after so many of these.
  static constexpr base::Duration kPause = std::chrono::milliseconds(20);
  static constexpr int kMostPauses = 25;

  explicit Checkpointer(std::string file);
  ~Checkpointer();
  Checkpointer(const Checkpointer&) = delete;
  Checkpointer& operator=(const Checkpointer&) = delete;

  // From the thread that commits: `pages` stand in the log now.
  void on_commit(int pages);
  // Rounds that have ended; any thread.
  std::uint64_t rounds() const { return rounds_; }

 private:
  void run();
  void wait_for_a_pause(std::unique_lock<std::mutex>& lock);
  void move() const;

  const std::string file_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::uint64_t commits_ = 0;
  bool due_ = false, ending_ = false;
  std::atomic<std::uint64_t> rounds_ = 0;
  std::thread thread_;
};

}  // namespace qanat::store
