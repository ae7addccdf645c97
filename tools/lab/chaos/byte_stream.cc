#include "tools/lab/chaos/byte_stream.hh"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "tools/lab/chaos/socket_address.hh"

namespace qanat::chaos {
namespace {

// The byte at an offset of the n-th connection.
std::uint8_t byte_at(std::uint64_t connection, std::uint64_t offset) {
  std::uint64_t x = (connection << 48) ^ (offset / 8 * 0x9e3779b97f4a7c15);
  x ^= x >> 31;
  return static_cast<std::uint8_t>(x >> (offset % 8 * 8));
}

}  // namespace

ByteStream::ByteStream(const lab::HostState& from, const lab::HostState& to, int index, Report report)
    : netns_(from.netns),
      name_(fmt::format("{} to {} of {}", from.node, to.node, to.tenant)),
      from_(socket_address(from.address, 0)),
      to_(socket_address(to.address, kFirstPort + index)),
      report_(std::move(report)) {
  const linkem::NetnsScope inside(to.netns);
  listener_ = linkem::Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1;
  setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!listener_ || bind(listener_.get(), reinterpret_cast<const sockaddr*>(&to_), sizeof to_) != 0 ||
      listen(listener_.get(), 4) != 0)
    throw std::system_error(errno, std::generic_category(), "listen for " + name_);
}

void ByteStream::connect_again(base::Time now) {
  done_acknowledged_ += acknowledged_;
  done_received_ += received_;
  receiver_ = linkem::Fd();
  written_ = acknowledged_ = received_ = 0;
  open_ = told_ = false;
  ++connections_;
  progress_ = now;
  const linkem::NetnsScope inside(netns_);
  sender_ = linkem::Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int on = 1, segment = 900;  // never as long as a loop probe
  setsockopt(sender_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(sender_.get(), IPPROTO_TCP, TCP_MAXSEG, &segment, sizeof segment);
  if (bind(sender_.get(), reinterpret_cast<const sockaddr*>(&from_), sizeof from_) != 0) {
    sender_ = linkem::Fd();  // the box is down, and its address with it
    return;
  }
  connect(sender_.get(), reinterpret_cast<const sockaddr*>(&to_), sizeof to_);  // goes on by itself
}

void ByteStream::drain() {
  if (!receiver_) {
    sockaddr_in peer{}, own{};
    socklen_t length = sizeof peer, own_length = sizeof own;
    linkem::Fd fd(
        accept4(listener_.get(), reinterpret_cast<sockaddr*>(&peer), &length, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    // One of a connection that was given up meanwhile is not ours.
    if (!sender_ || getsockname(sender_.get(), reinterpret_cast<sockaddr*>(&own), &own_length) != 0 ||
        own.sin_port != peer.sin_port)
      return;
    receiver_ = std::move(fd);
  }
  std::array<std::uint8_t, 65536> bytes;
  for (;;) {
    const auto n = recv(receiver_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (n <= 0) return;
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
      if (bytes[i] != byte_at(connections_, received_ + i) && !told_) {
        told_ = true;
        report_("intact", fmt::format("byte {} of the stream {} is not what was sent", received_ + i, name_));
      }
    received_ += static_cast<std::uint64_t>(n);
  }
}

void ByteStream::step(base::Time now) {
  if (now < next_) return;
  next_ = now + kEvery;
  if (!sender_) {
    if (now - progress_ > std::chrono::seconds(1)) connect_again(now);
    return;
  }
  if (!open_) {
    pollfd ready{sender_.get(), POLLOUT, 0};
    if (poll(&ready, 1, 0) == 1) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(sender_.get(), SOL_SOCKET, SO_ERROR, &error, &length);
      if (error != 0) {
        sender_ = linkem::Fd();
        progress_ = now;
        return;
      }
      open_ = true;
    } else if (now - progress_ > kGivesUp) {
      sender_ = linkem::Fd();
    }
    if (!open_) return;
  }
  int unacknowledged = 0;
  // First what was acknowledged, then what can be read: the one cannot have grown meanwhile.
  if (ioctl(sender_.get(), SIOCOUTQ, &unacknowledged) == 0) {
    const std::uint64_t acknowledged = written_ - static_cast<std::uint64_t>(unacknowledged);
    if (acknowledged > acknowledged_) progress_ = now;
    acknowledged_ = acknowledged;
  }
  drain();
  if (received_ < acknowledged_ && receiver_ && !told_) {
    told_ = true;
    report_("acknowledged_bytes", fmt::format("the stream {} has {} bytes acknowledged and {} to be read",
                                              name_, acknowledged_, received_));
  }
  std::array<std::uint8_t, kChunk> bytes;
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = byte_at(connections_, written_ + i);
  const auto n = send(sender_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0) written_ += static_cast<std::uint64_t>(n);
  const bool broken = n < 0 && errno != EAGAIN && errno != EWOULDBLOCK;
  if (broken || now - progress_ > kGivesUp) {
    sender_ = linkem::Fd();
    progress_ = now;
  }
}

}  // namespace qanat::chaos
