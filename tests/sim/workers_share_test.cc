// A box of two workers, by hand: what the lead tells its follower arrives when the test says so.
//
//   1 (lead in the network, follower beside it) ── 4
#include <gtest/gtest.h>

#include "tests/sim/network.hh"
#include "tests/unit/dataplane/packet/packet_maker.hh"

namespace qanat::test {
namespace {

using forwarder::Forwarder;
using forwarder::Message;
using packet::DropReason;
using std::chrono::seconds;

constexpr std::uint32_t kVni = 100;

class Follower : public ::testing::Test {
 protected:
  void SetUp() override {
    overlay.add_node(1, false, {1});
    overlay.add_node(4, false, {1});
    overlay.add_tenant(kVni, {1, 4});
    net.options_edit = [](std::uint32_t node, forwarder::ForwarderOptions& o) {
      if (node == 1) o.share = {0, 2};
    };
    net.start(1);
    net.start(4);
    auto options = overlay.options(1);
    options.share = {1, 2};
    follower = std::make_unique<Forwarder>(options);
    follower->set_unix_time(1'800'000'000);
    net.run_for(seconds{3});
    tell();
  }
  // Hands over what the lead said, up to and with the first message that holds a T; all of it by default.
  template <class T = void>
  void tell() {
    while (auto message = net.at(1).poll_message()) {
      follower->on_message(*message, net.now());
      if constexpr (!std::is_void_v<T>)
        if (std::holds_alternative<T>(message->payload)) return;
    }
  }
  // A packet of a flow that is the follower's: how many bytes it made of it.
  std::size_t send() {
    PacketMaker p;
    p.source = Overlay::tenant_address(1);
    p.destination = Overlay::tenant_address(4);
    p.protocol = 17;
    p.payload = some_bytes(100);
    for (p.source_port = 30000;; ++p.source_port) {
      const Octets packet = p.make();
      if (packet::bucket_of(*packet::IpView::parse(packet)) % 2 == 0) continue;
      Octets frame(packet::VirtioHeader::kBytes);
      frame.insert(frame.end(), packet.begin(), packet.end());
      follower->on_tun_packet(ids::Vni{kVni}, frame, net.now());
      break;
    }
    const std::size_t bytes = follower->transmit_bytes();
    follower->transmitted();
    return bytes;
  }

  Overlay overlay{81};
  Network net{overlay};
  std::unique_ptr<Forwarder> follower;
};

TEST_F(Follower, GoesOnByWhatWasChosenWhileTheLeadChoosesAnew) {
  ASSERT_GT(send(), 100u);
  net.set_snapshot(1, overlay.snapshot(1, 2));
  tell<forwarder::SnapshotSet>();
  ASSERT_EQ(follower->snapshot()->version(), 2u);
  EXPECT_GT(send(), 100u) << "between the configuration and the choice of paths";
  EXPECT_EQ(follower->drops()[DropReason::NoPath], 0u);
  tell();
  EXPECT_GT(send(), 100u);
}

// A way that the new configuration does not have any more is not gone on with.
TEST_F(Follower, ForgetsWaysThatAreGone) {
  ASSERT_GT(send(), 100u);
  net.set_snapshot(1, overlay.snapshot(1, 2, [](SnapshotParts& parts) {
    for (fib::Peer& p : parts.peers)
      if (p.id == ids::NodeId{4}) p.lines.clear();
    parts.policies.clear();
  }));
  tell<forwarder::SnapshotSet>();
  EXPECT_EQ(send(), 0u);
  EXPECT_EQ(follower->drops()[DropReason::NoPath], 1u);
}

}  // namespace
}  // namespace qanat::test
