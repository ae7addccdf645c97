// TestBox: a box of an Overlay on real sockets and a real TUN in a namespace: everything of qanatd but agent and API.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/io/crew.hh"
#include "tests/support/overlay.hh"

namespace qanat::test {

class TestBox {
 public:
  // Serves the tenants that `node` is a member of, through devices qt<vni>.
  // `tenants`: namespaces of those whose device stands elsewhere.
  // `af_xdp`: transit by AF_XDP on every line. `on_event` is called by the lead's worker.
  TestBox(const Overlay& overlay, std::uint32_t node, const std::string& netns, unsigned workers = 1,
          const std::map<std::uint32_t, std::string>& tenants = {}, bool af_xdp = false,
          std::function<void(const forwarder::Event&)> on_event = {});
  ~TestBox();

  forwarder::Status status();
  std::uint64_t drops(packet::DropReason reason) const { return crew_->drops(reason); }
  std::uint64_t counter(forwarder::Counter c) const { return crew_->counter(c); }
  std::string drops_text() const;
  unsigned switches() const { return switches_; }
  // Waits until a usable path to `node` exists; false after `seconds`.
  bool wait_for_path(std::uint32_t node, int seconds);
  io::Crew& crew() { return *crew_; }

 private:
  std::unique_ptr<io::Crew> crew_;
  std::atomic<unsigned> switches_{0};
};

}  // namespace qanat::test
