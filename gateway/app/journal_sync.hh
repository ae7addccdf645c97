// JournalSync: writes the journal's pages to disk every 100 ms on a thread of its own, which bounds what a power loss
// can take (kill -9 takes nothing: the pages are the kernel's).
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "gateway/meter/journal.hh"

namespace qanat::app {

class JournalSync {
 public:
  explicit JournalSync(meter::Journal& journal);
  ~JournalSync();
  JournalSync(const JournalSync&) = delete;
  JournalSync& operator=(const JournalSync&) = delete;

 private:
  void run();
  meter::Journal& journal_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace qanat::app
