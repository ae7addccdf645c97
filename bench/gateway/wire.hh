// Wire: sockets, instants and HTTP framing of both hands of bench/gateway: the mock that answers and the caller that
// asks. Written for speed alone, so that neither of them is what gets measured.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

struct epoll_event;

namespace qanat::bench {

// CLOCK_MONOTONIC, the same in every process of one machine.
std::uint64_t now_ns();

// Both end the program with a message when they cannot. What is dialled sends without delay.
int listen_on(int port);
int dial(int port);
// What is written goes at once (RFC 896 off), as of any server of streams: else a frame on a connection that is kept waits
// up to 40 ms for the ack of the one before.
void no_delay(int fd);

// The whole of it, or false: these sockets never hold more than their buffers take.
bool send_all(int fd, std::string_view bytes);

// Waits in epoll until `until_ns` (to the nearest microsecond or so), not at all if that has passed.
int wait_until(int poll, ::epoll_event* events, int room, std::uint64_t until_ns);

// A message with content-length at the front of `in`: its head's and its whole size; 0 while it is not there.
struct Framed {
  std::size_t head = 0, size = 0;
  explicit operator bool() const { return size != 0; }
};
Framed framed(std::string_view in);

// Latencies, or anything else of which percentiles are wanted.
class Samples {
 public:
  void add(double value) { values_.push_back(value); }
  std::size_t count() const { return values_.size(); }
  // 0 … 1; 0 of nothing.
  double at(double quantile) {
    if (values_.empty()) return 0;
    const auto rank = static_cast<std::size_t>(quantile * static_cast<double>(values_.size() - 1) + 0.5);
    std::nth_element(values_.begin(), values_.begin() + static_cast<std::ptrdiff_t>(rank), values_.end());
    return values_[rank];
  }

 private:
  std::vector<double> values_;
};

// What a caller sends: headers and body of POST /v1/chat/completions.
struct Asking {
  int port = 0;
  std::vector<std::string> headers;  // "authorization: Bearer …"
  std::string model = "bench";
  std::size_t prompt_bytes = 300;
};
std::string request_of(const Asking& asking, bool stream, int tokens);

int run_mock(int port);
// Calls at fixed intended instants, `rate` a second (0: as fast as `connections` allow, latency from the send).
int run_calls(const Asking& asking, double rate, int connections, double seconds);
// `count` streams of ten tokens a second, all under way for `seconds` or so.
int run_streams(const Asking& asking, int count, double seconds);

}  // namespace qanat::bench
