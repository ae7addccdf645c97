#include "tools/lab/chaos/loop_watch.hh"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <system_error>

#include "tools/lab/chaos/probes.hh"
#include "tools/lab/daemon_config.hh"

namespace qanat::chaos {
namespace {

// A loop probe inside, 28 bytes of IPv4 and UDP around it, and around that what the overlay adds: from the seal alone
// (78 bytes) to a route header of four segments.
constexpr std::uint32_t kShortest = Probes::kLoopPayload + 28 + 70,
                        kLongest = Probes::kLoopPayload + Probes::kLoopLengths + 28 + 180;

constexpr std::uint32_t of_packet(int field) { return static_cast<std::uint32_t>(SKF_AD_OFF + field); }

}  // namespace

LoopWatch::LoopWatch(const lab::LabState& lab) {
  // Leaving this node; UDP; of that length; of the scavenger tier, as nothing else in a soak is (the outer DSCP is the
  // tier's); to an underlay port.
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, of_packet(SKF_AD_PKTTYPE)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 14),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, of_packet(SKF_AD_PROTOCOL)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ETH_P_IP, 0, 12),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 9),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 10),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 2),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kShortest, 0, 8),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, kLongest, 7, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 1),
      BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xfc),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, Probes::kTosLoop, 0, 4),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 22),
      BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, lab::kUnderlayPort, 0, 2),
      BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, lab::kUnderlayPort + 15, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, 65535),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const sock_fprog filter{static_cast<unsigned short>(std::size(program)), program};
  for (const auto& node : lab.nodes) {
    if (node.socket.empty()) continue;
    const linkem::NetnsScope inside(node.netns);
    // No protocol until the filter is there, so that nothing is counted before.
    linkem::Fd fd(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_ll all{};
    all.sll_family = AF_PACKET;
    all.sll_protocol = htons(ETH_P_ALL);
    if (!fd || setsockopt(fd.get(), SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter) != 0 ||
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&all), sizeof all) != 0)
      throw std::system_error(errno, std::generic_category(), "watch the packets of " + node.netns);
    sockets_.push_back(std::move(fd));
  }
}

std::uint64_t LoopWatch::crossings() {
  // A list's headers are as long at every hop, so one datagram's crossings have one length.
  Lengths window;
  for (const auto& fd : sockets_) {
    char byte;
    for (ssize_t length; (length = recv(fd.get(), &byte, 1, MSG_DONTWAIT | MSG_TRUNC)) >= 0;)
      ++window[length];
  }
  return judge_.next(std::move(window));
}

}  // namespace qanat::chaos
