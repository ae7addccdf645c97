// The overlay against plain forwarding, on the kernel's own devices: packets of every kind are put on one TUN as they are,
// super-packets with their virtio headers, and what the other TUN hands to its kernel is compared byte for byte.
//
//   packet socket ─> qt100 ── 1 ──v1── 2 ── qt100 ─> packet socket
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>
#include <thread>

#include "dataplane/io/netns.hh"
#include "tests/support/joined.hh"
#include "tests/support/namespaces.hh"
#include "tests/support/plain_forwarding.hh"
#include "tests/support/test_box.hh"

namespace qanat::test {
namespace {

using std::chrono::milliseconds;

// A packet socket on qt100 in a namespace, with virtio headers before the packets.
class Tap {
 public:
  explicit Tap(const std::string& netns, int protocol) {
    const io::NetnsScope inside(netns);
    socket_ =
        io::Fd(::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(static_cast<std::uint16_t>(protocol))));
    if (!socket_) io::throw_errno("open a packet socket in", netns);
    const int yes = 1, room = 64 << 20;
    address_.sll_family = AF_PACKET;
    address_.sll_ifindex = static_cast<int>(::if_nametoindex("qt100"));
    address_.sll_protocol = htons(static_cast<std::uint16_t>(protocol));
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    if (::setsockopt(socket_.get(), SOL_PACKET, PACKET_VNET_HDR, &yes, sizeof yes) != 0 ||
        ::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address_), sizeof address_) != 0)
      io::throw_errno("bind a packet socket to", "qt100");
  }
  bool send(const Given& given) {
    Octets frame(packet::VirtioHeader::kBytes);
    given.virtio.serialize(frame);
    frame.insert(frame.end(), given.packet.begin(), given.packet.end());
    sockaddr_ll to = address_;
    to.sll_protocol = htons(given.packet[0] >> 4 == 6 ? ETH_P_IPV6 : ETH_P_IP);
    return ::sendto(socket_.get(), frame.data(), frame.size(), 0, reinterpret_cast<const sockaddr*>(&to),
                    sizeof to) == static_cast<ssize_t>(frame.size());
  }
  // What came in from the device and was not read yet, from `source` alone: this namespace's own answers are outgoing.
  void drain(Flows& flows, std::size_t& joined) {
    Octets frame(70'000);
    for (;;) {
      sockaddr_ll from{};
      socklen_t size = sizeof from;
      const ssize_t n = ::recvfrom(socket_.get(), frame.data(), frame.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&from), &size);
      if (n < 0) return;
      if (from.sll_pkttype == PACKET_OUTGOING || n <= static_cast<ssize_t>(packet::VirtioHeader::kBytes))
        continue;
      const auto virtio = packet::VirtioHeader::parse(frame);
      joined += virtio.gso_size != 0;
      add_plainly(flows, virtio, Octets(frame.begin() + packet::VirtioHeader::kBytes, frame.begin() + n));
    }
  }

 private:
  io::Fd socket_;
  sockaddr_ll address_{};
};

std::size_t packets(const Flows& flows) {
  std::size_t sum = 0;
  for (const auto& [flow, those] : flows) sum += those.size();
  return sum;
}

TEST(TransparencyInNamespaces, WhatOneKernelSendsTheOtherGets) {
  if (const std::string missing = namespaces_missing(); !missing.empty()) GTEST_SKIP() << missing;
  Namespaces net;
  const auto [a, b, overlay] = joined(net);
  TestBox box_a(overlay, 1, a);
  TestBox box_b(overlay, 2, b);
  ASSERT_TRUE(box_a.wait_for_path(2, 10)) << box_a.drops_text() << box_b.drops_text();
  std::this_thread::sleep_for(std::chrono::seconds{2});  // the MTU is found
  Tap in(a, 0);
  Tap out(b, ETH_P_ALL);
  TenantTraffic traffic({Overlay::tenant_address(1), Overlay::tenant_address(2), Overlay::tenant_address6(1),
                         Overlay::tenant_address6(2)},
                        11, 1300);
  Flows wanted, got;
  std::size_t joined = 0;
  for (int i = 0; i < 2400; ++i) {
    for (const Given& given : traffic.draw()) {
      // A host that hears of an empty RST answers nothing; a stray SYN it does, which is no business of ours.
      ASSERT_TRUE(in.send(given)) << given.what << ", " << given.packet.size()
                                  << " bytes: " << std::strerror(errno);
      add_plainly(wanted, given.virtio, given.packet);
    }
    // No more on its way than a device's queue holds.
    for (int patience = 0; i % 4 == 3 && packets(got) < packets(wanted) && patience < 1000; ++patience) {
      std::this_thread::sleep_for(milliseconds{1});
      out.drain(got, joined);
    }
    if (i % 4 == 3) {
      ASSERT_EQ(packets(got), packets(wanted))
          << difference(wanted, got) << " | " << box_a.drops_text() << "| " << box_b.drops_text();
    }
  }
  EXPECT_EQ(difference(wanted, got), "") << box_a.drops_text() << "| " << box_b.drops_text();
  EXPECT_GT(joined, 50u) << "super-packets come out as such";
}

}  // namespace
}  // namespace qanat::test
