// Witness: which threads of some processes waited for a CPU, and when, so that a starved program is told from a slow
// protocol. Reads /proc/PID/task/*/schedstat (time spent waiting on a run queue) every 10 ms; its own lateness tells of
// pauses of the whole machine.
#pragma once

#include <atomic>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace qanat::bench {

class Witness {
 public:
  using Clock = std::chrono::steady_clock;
  struct Wait {
    std::string thread;  // "name/tid"
    double ms = 0;
  };

  explicit Witness(std::vector<int> pids);
  ~Witness();
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;

  // The thread that waited longest for a CPU between the samples around the interval; of the last five seconds.
  Wait longest_wait(Clock::time_point begin, Clock::time_point end) const;
  // The longest time between two samples of the same interval, less what is usual: nobody let this thread run.
  double longest_pause_ms(Clock::time_point begin, Clock::time_point end) const;

 private:
  struct Sample {
    Clock::time_point at;
    std::map<int, double> waited_ms;  // by thread
  };
  Sample sample() const;

  std::vector<int> pids_;
  mutable std::mutex mutex_;
  std::deque<Sample> samples_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Who serves this Unix socket; 0: nobody answers.
int server_of(const std::string& socket);

}  // namespace qanat::bench
