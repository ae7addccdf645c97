#include "tests/support/flows.hh"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <future>
#include <stdexcept>
#include <thread>
#include <vector>

#include "dataplane/io/fd.hh"
#include "dataplane/io/netns.hh"

namespace qanat::test {
namespace {

using io::Fd;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
  Address(const std::string& text, std::uint16_t port) {
    if (text.find(':') == std::string::npos) {
      auto& a = reinterpret_cast<sockaddr_in&>(storage);
      a.sin_family = AF_INET;
      a.sin_port = htons(port);
      if (::inet_pton(AF_INET, text.c_str(), &a.sin_addr) != 1)
        throw std::runtime_error("no address: " + text);
      size = sizeof a;
    } else {
      auto& a = reinterpret_cast<sockaddr_in6&>(storage);
      a.sin6_family = AF_INET6;
      a.sin6_port = htons(port);
      if (::inet_pton(AF_INET6, text.c_str(), &a.sin6_addr) != 1)
        throw std::runtime_error("no address: " + text);
      size = sizeof a;
    }
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Fd open_socket(const std::string& netns, int family, int type) {
  const io::NetnsScope scope(netns);
  Fd fd(::socket(family, type | SOCK_CLOEXEC, 0));
  if (!fd) io::throw_errno("open a socket in", netns);
  const timeval patience{10, 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

std::uint8_t pattern(std::uint64_t at) { return static_cast<std::uint8_t>(at * 0x9e3779b97f4a7c15ULL >> 56); }

}  // namespace

TcpResult tcp_transfer(const std::string& from, const std::string& to, const std::string& address,
                       std::uint64_t bytes, std::uint16_t port) {
  const Address where(address, port);
  Fd listener = open_socket(to, where.storage.ss_family, SOCK_STREAM);
  const int yes = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(listener.get(), where.get(), where.size) != 0 || ::listen(listener.get(), 1) != 0)
    io::throw_errno("listen on", address);
  auto receiving = std::async(std::launch::async, [&] {
    TcpResult result;
    Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer) return result;
    std::vector<std::uint8_t> buffer(256 * 1024);
    result.intact = true;
    const auto begin = std::chrono::steady_clock::now();
    for (ssize_t n = 0; (n = ::recv(peer.get(), buffer.data(), buffer.size(), 0)) > 0;) {
      for (ssize_t i = 0; i < n; ++i)
        result.intact = result.intact && buffer[static_cast<std::size_t>(i)] ==
                                             pattern(result.bytes + static_cast<std::uint64_t>(i));
      result.bytes += static_cast<std::uint64_t>(n);
    }
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return result;
  });
  Fd sender = open_socket(from, where.storage.ss_family, SOCK_STREAM);
  if (::connect(sender.get(), where.get(), where.size) == 0) {
    std::vector<std::uint8_t> buffer(256 * 1024);
    for (std::uint64_t at = 0; at < bytes;) {
      const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), bytes - at));
      for (std::size_t i = 0; i < n; ++i) buffer[i] = pattern(at + i);
      for (std::size_t done = 0; done < n;) {
        const ssize_t sent = ::send(sender.get(), buffer.data() + done, n - done, MSG_NOSIGNAL);
        if (sent <= 0) {
          at = bytes;
          break;
        }
        done += static_cast<std::size_t>(sent);
      }
      at += n;
    }
  } else {
    ::shutdown(listener.get(), SHUT_RDWR);
  }
  sender.reset();
  return receiving.get();
}

struct UdpStream::State {
  Fd sender;
  Fd receiver;
  Address where;
  std::size_t size;
  std::chrono::milliseconds duration;
  unsigned burst;
  std::atomic<bool> done{false};
  std::atomic<std::uint32_t> sent{0};
  UdpResult result;
  std::thread sending;
  std::thread receiving;

  void send_all() {
    std::vector<std::uint8_t> buffer(size);
    auto next = std::chrono::steady_clock::now();
    const auto end = next + duration;
    for (std::uint32_t number = 0; next < end;) {
      for (const std::uint32_t last = number + burst; number != last; ++number) {
        std::memcpy(buffer.data(), &number, sizeof number);
        ::sendto(sender.get(), buffer.data(), buffer.size(), MSG_NOSIGNAL, where.get(), where.size);
      }
      sent = number;
      next += std::chrono::milliseconds{1};
      std::this_thread::sleep_until(next);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds{500});
    done = true;
  }
  void receive_all() {
    const timeval tick{0, 50'000};
    ::setsockopt(receiver.get(), SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick);
    std::vector<std::uint8_t> buffer(65536);
    std::vector<bool> seen((static_cast<std::size_t>(duration.count()) + 1000) * burst);
    auto last = std::chrono::steady_clock::time_point{};
    while (!done) {
      const ssize_t n = ::recv(receiver.get(), buffer.data(), buffer.size(), 0);
      if (n < 4) continue;
      const auto now = std::chrono::steady_clock::now();
      if (result.received != 0)
        result.largest_gap =
            std::max(result.largest_gap, std::chrono::duration_cast<std::chrono::milliseconds>(now - last));
      result.last = last = now;
      std::uint32_t number = 0;
      std::memcpy(&number, buffer.data(), sizeof number);
      if (number >= seen.size()) continue;
      if (seen[number])
        ++result.duplicates;
      else
        ++result.received;
      seen[number] = true;
    }
  }
};

UdpStream::UdpStream(const std::string& from, const std::string& to, const std::string& address,
                     std::size_t size, std::chrono::milliseconds duration, int dscp, unsigned burst,
                     std::uint16_t port)
    : state_(new State{{}, {}, Address(address, port), size, duration, burst, {}, {}, {}, {}, {}}) {
  State& s = *state_;
  s.receiver = open_socket(to, s.where.storage.ss_family, SOCK_DGRAM);
  if (::bind(s.receiver.get(), s.where.get(), s.where.size) != 0) io::throw_errno("bind", address);
  const int patient = 8 << 20;  // a receiver that gets no CPU for a while loses nothing
  ::setsockopt(s.receiver.get(), SOL_SOCKET, SO_RCVBUFFORCE, &patient, sizeof patient);
  s.sender = open_socket(from, s.where.storage.ss_family, SOCK_DGRAM);
  const int tos = dscp << 2;
  if (dscp != 0 && s.where.storage.ss_family == AF_INET)
    ::setsockopt(s.sender.get(), IPPROTO_IP, IP_TOS, &tos, sizeof tos);
  else if (dscp != 0)
    ::setsockopt(s.sender.get(), IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos);
  s.receiving = std::thread([&s] { s.receive_all(); });
  s.sending = std::thread([&s] { s.send_all(); });
}

UdpStream::~UdpStream() { wait(); }

UdpResult UdpStream::wait() {
  if (state_->sending.joinable()) state_->sending.join();
  if (state_->receiving.joinable()) state_->receiving.join();
  state_->result.sent = state_->sent;
  return state_->result;
}

struct TcpStream::State {
  std::thread receiving, sending;
  std::uint64_t bytes = 0;
  std::chrono::steady_clock::duration longest{};
};

TcpStream::TcpStream(const std::string& from, const std::string& to, const std::string& address,
                     std::chrono::milliseconds duration)
    : state_(new State) {
  const Address where(address, 7100);
  auto listener = std::make_shared<Fd>(open_socket(to, where.storage.ss_family, SOCK_STREAM));
  const int yes = 1;
  ::setsockopt(listener->get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(listener->get(), where.get(), where.size) != 0 || ::listen(listener->get(), 1) != 0)
    io::throw_errno("listen on", address);
  state_->receiving = std::thread([state = state_.get(), listener] {
    const Fd peer(::accept(listener->get(), nullptr, nullptr));
    std::vector<char> buffer(1 << 16);
    auto last = std::chrono::steady_clock::now();
    for (ssize_t n = 0; (n = ::recv(peer.get(), buffer.data(), buffer.size(), 0)) > 0;) {
      const auto now = std::chrono::steady_clock::now();
      state->longest = std::max(state->longest, now - last);
      last = now;
      state->bytes += static_cast<std::uint64_t>(n);
    }
  });
  auto sender = std::make_shared<Fd>(open_socket(from, where.storage.ss_family, SOCK_STREAM));
  state_->sending = std::thread([sender, where, listener, duration] {
    if (::connect(sender->get(), where.get(), where.size) != 0) {
      ::shutdown(listener->get(), SHUT_RDWR);
      return;
    }
    const std::vector<char> block(1 << 14, 'q');
    const auto end = std::chrono::steady_clock::now() + duration;
    while (std::chrono::steady_clock::now() < end) {
      if (::send(sender->get(), block.data(), block.size(), MSG_NOSIGNAL) <= 0) break;
      std::this_thread::sleep_for(std::chrono::milliseconds{1});  // other tests need the machine too
    }
    ::shutdown(sender->get(), SHUT_WR);
  });
}

TcpStream::~TcpStream() { wait(); }

void TcpStream::wait() {
  if (state_->sending.joinable()) state_->sending.join();
  if (state_->receiving.joinable()) state_->receiving.join();
}

std::uint64_t TcpStream::bytes() const { return state_->bytes; }

std::chrono::milliseconds TcpStream::longest_stall() const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(state_->longest);
}

}  // namespace qanat::test
