// TestBox: a box of an Overlay on real sockets and a real TUN in a namespace: everything of qanatd but agent and API.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/io/worker.hh"
#include "tests/support/overlay.hh"

namespace qanat::test {

class TestBox {
 public:
  // Serves the first tenant that `node` is a member of, if any, through device qt<vni>.
  TestBox(const Overlay& overlay, std::uint32_t node, const std::string& netns);
  ~TestBox();

  forwarder::Status status();
  std::uint64_t drops(packet::DropReason reason) const { return worker_->forwarder().drops()[reason]; }
  std::uint64_t counter(forwarder::Counter c) const { return worker_->forwarder().counters()[c]; }
  std::string drops_text() const;
  unsigned switches() const { return switches_; }
  // Waits until a usable path to `node` exists; false after `seconds`.
  bool wait_for_path(std::uint32_t node, int seconds);
  io::Worker& worker() { return *worker_; }

 private:
  std::unique_ptr<io::Worker> worker_;
  std::atomic<unsigned> switches_{0};
};

}  // namespace qanat::test
