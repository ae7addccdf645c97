// PacketLog: every packet's arrival, departure and drop on every link, as lines of text (linkem(1), PACKET LOG).
// The links' thread only fills memory; another thread formats and writes, so that a slow disk delays no packet.
#pragma once

#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "tools/linkem/direction.hh"

namespace qanat::linkem {

class PacketLog {
 public:
  // Truncates `path`. Throws std::system_error.
  explicit PacketLog(const std::string& path);
  ~PacketLog();
  PacketLog(const PacketLog&) = delete;

  // Of one direction of one link; lives as long as the log. All observers belong to one thread.
  PacketObserver* observer(const std::string& link, bool up);

 private:
  struct Record {
    base::Time at, entered;
    std::uint64_t number;
    std::uint32_t bytes;
    std::uint16_t segments, source;
    char event;  // + - x
    DropReason reason;
  };
  class Observer;

  void add(const Record& record);
  void hand_over();
  void write_all();
  void write(const std::vector<Record>& records);

  std::FILE* file_;
  std::vector<std::unique_ptr<Observer>> observers_;
  std::vector<std::string> names_;  // "LINK up"; guarded by mutex_
  std::vector<Record> filling_;
  std::mutex mutex_;
  std::condition_variable filled_;
  std::vector<Record> full_;  // guarded by mutex_
  bool ending_ = false;       // guarded by mutex_
  std::thread writer_;
};

}  // namespace qanat::linkem
