#include "gateway/access/dns_server.hh"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "base/metrics.hh"
#include "gateway/access/deadline.hh"
#include "gateway/access/dns/responder.hh"
#include "gateway/access/listen.hh"

namespace qanat::access {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using asio::ip::udp;
using ErrorCode = boost::system::error_code;

constexpr std::size_t kBatch = 64;
constexpr std::size_t kMaxQueryBytes = 4096;
constexpr std::size_t kMaxAskers = 256;
constexpr auto kAskerIdle = std::chrono::seconds{10};  // RFC 7766 §6.2.3

// What recvmmsg and sendmmsg need for one batch.
struct Batch {
  std::array<std::array<char, kMaxQueryBytes>, kBatch> queries;
  std::array<std::string, kBatch> answers;
  std::array<sockaddr_storage, kBatch> peers;
  std::array<iovec, kBatch> in, out;
  std::array<mmsghdr, kBatch> received, sent;
};

}  // namespace

struct DnsServer::State {
  State(asio::io_context& io_context, std::shared_ptr<const dns::Zone> first) : io(io_context), zone(first) {}

  dns::Outcome respond(std::string_view query, dns::Over over, std::string& answer) {
    const dns::Outcome outcome = dns::respond(*zone.load(), query, over, answer);
    counters[static_cast<std::size_t>(outcome)]->add();
    return outcome;
  }

  // One batch from one socket. True: there may be more.
  bool serve(int socket, Batch& b) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      b.in[i] = {b.queries[i].data(), kMaxQueryBytes};
      b.received[i] = {};
      b.received[i].msg_hdr.msg_name = &b.peers[i];
      b.received[i].msg_hdr.msg_namelen = sizeof b.peers[i];
      b.received[i].msg_hdr.msg_iov = &b.in[i];
      b.received[i].msg_hdr.msg_iovlen = 1;
    }
    const int count = ::recvmmsg(socket, b.received.data(), kBatch, MSG_DONTWAIT, nullptr);
    if (count <= 0) return false;
    unsigned answers = 0;
    const std::shared_ptr<const dns::Zone> now = zone.load();
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
      const std::string_view query(b.queries[i].data(), b.received[i].msg_len);
      const dns::Outcome outcome = dns::respond(*now, query, dns::Over::Udp, b.answers[i]);
      counters[static_cast<std::size_t>(outcome)]->add();
      if (dns::dropped(outcome)) continue;
      b.out[answers] = {b.answers[i].data(), b.answers[i].size()};
      b.sent[answers] = {};
      b.sent[answers].msg_hdr = b.received[i].msg_hdr;
      b.sent[answers].msg_hdr.msg_flags = 0;
      b.sent[answers].msg_hdr.msg_iov = &b.out[answers];
      ++answers;
    }
    // A peer that cannot be sent to costs its own answer only.
    for (unsigned done = 0; done < answers;) {
      const int n = ::sendmmsg(socket, b.sent.data() + done, answers - done, 0);
      done += n > 0 ? static_cast<unsigned>(n) : 1;
    }
    return count == static_cast<int>(kBatch);
  }

  void run() {
    const auto batch = std::make_unique<Batch>();
    std::vector<pollfd> wait{{stop_event, POLLIN, 0}};
    for (const auto& socket : sockets) wait.push_back({socket->native_handle(), POLLIN, 0});
    for (;;) {
      if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return;
      if (wait[0].revents != 0) return;
      for (std::size_t i = 1; i < wait.size(); ++i) {
        if (wait[i].revents == 0) continue;
        for (int turn = 0; turn < 16 && serve(wait[i].fd, *batch); ++turn) {
        }
      }
    }
  }

  asio::awaitable<void> accept([[maybe_unused]] std::shared_ptr<State> self, tcp::acceptor& acceptor) {
    while (acceptor.is_open()) {
      ErrorCode ec;
      tcp::socket socket = co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, ec));
      if (ec == asio::error::operation_aborted || !acceptor.is_open()) co_return;
      if (ec || connections >= kMaxAskers) continue;
      asio::co_spawn(io, talk(self, std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> talk([[maybe_unused]] std::shared_ptr<State> self, tcp::socket socket) {
    ++connections;
    Deadline idle(socket);
    std::array<unsigned char, 2> size;
    std::string query, answer;
    while (!stopped) {
      idle.set(kAskerIdle);
      ErrorCode ec;
      co_await asio::async_read(socket, asio::buffer(size), asio::redirect_error(asio::use_awaitable, ec));
      if (ec) break;
      query.resize(static_cast<std::size_t>(size[0] << 8 | size[1]));
      co_await asio::async_read(socket, asio::buffer(query), asio::redirect_error(asio::use_awaitable, ec));
      if (ec || dns::dropped(respond(query, dns::Over::Tcp, answer))) break;
      const char length[2] = {static_cast<char>(answer.size() >> 8), static_cast<char>(answer.size())};
      answer.insert(0, length, 2);
      co_await asio::async_write(socket, asio::buffer(answer), asio::redirect_error(asio::use_awaitable, ec));
      if (ec) break;
    }
    idle.cancel();
    --connections;
  }

  asio::io_context& io;
  std::atomic<std::shared_ptr<const dns::Zone>> zone;
  std::array<base::Counter*, dns::kOutcomes> counters{};
  std::vector<std::unique_ptr<udp::socket>> sockets;
  std::vector<std::unique_ptr<tcp::acceptor>> acceptors;
  std::thread thread;
  int stop_event = -1;
  std::size_t connections = 0;
  bool stopped = false;
};

DnsServer::DnsServer(asio::io_context& io, const std::vector<std::string>& addresses,
                     std::shared_ptr<const dns::Zone> zone, base::MetricsRegistry& metrics)
    : state_(std::make_shared<State>(io, std::move(zone))) {
  State& s = *state_;
  for (std::size_t i = 0; i < dns::kOutcomes; ++i) {
    const auto outcome = std::string(to_string(static_cast<dns::Outcome>(i)));
    s.counters[i] = &metrics.counter("qanat_gateway_dns_queries_total", "DNS queries by what became of them",
                                     {{"outcome", outcome}});
  }
  for (const std::string& address : addresses) {
    s.sockets.push_back(bind_udp(io, address, "DNS"));
    ErrorCode ignored;
    s.sockets.back()->set_option(asio::socket_base::receive_buffer_size(1 << 20), ignored);
    s.acceptors.push_back(listen_tcp(io, address, "DNS"));
  }
  s.stop_event = ::eventfd(0, EFD_CLOEXEC);
  if (s.stop_event < 0) throw std::system_error(errno, std::system_category(), "eventfd for DNS");
  s.thread = std::thread([&s] { s.run(); });
  for (auto& acceptor : s.acceptors) asio::co_spawn(io, s.accept(state_, *acceptor), asio::detached);
}

DnsServer::~DnsServer() { stop(); }

void DnsServer::set_zone(std::shared_ptr<const dns::Zone> zone) { state_->zone.store(std::move(zone)); }

void DnsServer::stop() {
  State& s = *state_;
  if (s.stopped) return;
  s.stopped = true;
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto told = ::write(s.stop_event, &one, sizeof one);
  s.thread.join();
  ::close(s.stop_event);
  ErrorCode ignored;
  for (auto& acceptor : s.acceptors) acceptor->close(ignored);
}

}  // namespace qanat::access
