// Flows: a tenant's traffic inside namespaces, over plain sockets: a checked TCP transfer, a numbered UDP stream.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace qanat::test {

struct TcpResult {
  std::uint64_t bytes = 0;  // received, every one as it was sent
  bool intact = false;
  double seconds = 0;
};
// `bytes` of a pattern from one namespace to a listener in another.
TcpResult tcp_transfer(const std::string& from, const std::string& to, const std::string& address,
                       std::uint64_t bytes, std::uint16_t port = 5001);

struct UdpResult {
  std::uint32_t sent = 0;
  std::uint32_t received = 0;  // distinct
  std::uint32_t duplicates = 0;
  std::chrono::milliseconds largest_gap{0};      // between two arrivals
  std::chrono::steady_clock::time_point last{};  // arrival
};
// `burst` datagrams of `size` bytes every millisecond for `duration`, sent and received on threads of its own.
class UdpStream {
 public:
  // `dscp` asks for a tier.
  UdpStream(const std::string& from, const std::string& to, const std::string& address, std::size_t size,
            std::chrono::milliseconds duration, int dscp = 0, unsigned burst = 1, std::uint16_t port = 5302);
  ~UdpStream();
  UdpResult wait();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A TCP transfer of some 100 Mbit/s for a while; what matters is the longest time that nothing arrived.
class TcpStream {
 public:
  TcpStream(const std::string& from, const std::string& to, const std::string& address,
            std::chrono::milliseconds duration);
  ~TcpStream();
  void wait();
  // Once waited for.
  std::uint64_t bytes() const;
  std::chrono::milliseconds longest_stall() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qanat::test
