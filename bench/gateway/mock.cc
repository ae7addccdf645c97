// The upstream: a pool that is always idle and answers at once, or ten tokens a second. It tells its state like a pool,
// so that the gateway under test does all it would for a real one; any other proxy just forwards to it.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <queue>
#include <unordered_map>

#include "bench/gateway/wire.hh"
#include "identifiers/descriptor/descriptor.hh"

namespace qanat::bench {
namespace {

constexpr std::uint64_t kTokenNs = 100'000'000;

struct Connection {
  std::string in;
  std::uint64_t serial = 0;  // of the stream under way; 0: none
  int left = 0, sent = 0;
};
struct Due {
  std::uint64_t at;
  int fd;
  std::uint64_t serial;
  bool operator>(const Due& other) const { return at > other.at; }
};

std::string descriptor_text() {
  descriptor::Descriptor d;
  d.id = "mock";
  d.provider = "bench";
  d.location = "bench";
  d.site = "bench";
  d.residency = "bench";
  d.services = {"infer"};
  d.card = {"nvidia", "h20", 8, 96'000'000'000, 4'000'000'000'000, {{"bf16", 148e12}}};
  d.models = {{"bench", "", "bf16", 1'000'000, {400, 100, 1600}}};
  descriptor::EngineState engine;
  engine.model = "bench";
  engine.max_num_seqs = 1'000'000;
  engine.kv_total_tokens = 1'000'000'000;
  engine.decode = {1, 0, 0};
  engine.prefill = {1, 0};
  d.state = {now_ns(), 60'000, descriptor::Health::Serving, {engine}};
  return descriptor::serialize(d);
}

std::string with_head(std::string_view status, std::string_view body) {
  return fmt::format("HTTP/1.1 {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{}", status,
                     body.size(), body);
}

int max_tokens(std::string_view body) {
  const std::size_t at = body.find("\"max_tokens\":");
  int tokens = 10;
  if (at != std::string_view::npos) std::from_chars(body.data() + at + 13, body.data() + body.size(), tokens);
  return tokens;
}

class Mock {
 public:
  explicit Mock(int port) : poll_(::epoll_create1(EPOLL_CLOEXEC)), listener_(listen_on(port)) {
    watch(listener_);
  }

  [[noreturn]] void run() {
    epoll_event events[512];
    while (true) {
      const std::uint64_t next = due_.empty() ? now_ns() + 1'000'000'000 : due_.top().at;
      const int ready = wait_until(poll_, events, 512, next);
      for (int i = 0; i < ready; ++i) {
        const int fd = events[i].data.fd;
        if (fd == listener_)
          accept_all();
        else if (!read(fd))
          drop(fd);
      }
      for (const std::uint64_t now = now_ns(); !due_.empty() && due_.top().at <= now;) {
        const Due due = due_.top();
        due_.pop();
        token(due);
      }
    }
  }

 private:
  void watch(int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(poll_, EPOLL_CTL_ADD, fd, &event);
  }
  void accept_all() {
    for (int fd; (fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0;) {
      no_delay(fd);
      watch(fd);
      connections_[fd] = {};
    }
  }
  void drop(int fd) {
    connections_.erase(fd);
    ::close(fd);
  }

  bool read(int fd) {
    Connection& c = connections_[fd];
    while (true) {
      const ssize_t n = ::read(fd, buffer_, sizeof buffer_);
      if (n == 0) return false;
      if (n < 0) break;
      c.in.append(buffer_, static_cast<std::size_t>(n));
      if (static_cast<std::size_t>(n) < sizeof buffer_) break;
    }
    while (const Framed message = framed(c.in)) {
      const bool going = answer(fd, c, std::string_view(c.in).substr(0, message.size));
      if (!going) return false;
      c.in.erase(0, message.size);
    }
    return true;
  }

  bool answer(int fd, Connection& c, std::string_view message) {
    if (message.starts_with("GET /qanat/v1/descriptor"))
      return send_all(fd, with_head("200 OK", descriptor_text()));
    if (!message.starts_with("POST /v1/chat/completions"))
      return send_all(fd, with_head("404 Not Found", "{}"));
    if (message.find("\"stream\":true") == std::string_view::npos) return send_all(fd, whole_);
    // Streams begin anywhere within their first interval, as callers' do.
    c.serial = ++serial_;
    c.left = max_tokens(message);
    c.sent = 0;
    due_.push({now_ns() + serial_ * 7'919'000 % kTokenNs, fd, c.serial});
    return send_all(
        fd, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
  }

  // One token: its number and the instant it was due, for the caller to check.
  void token(const Due& due) {
    const auto found = connections_.find(due.fd);
    if (found == connections_.end() || found->second.serial != due.serial) return;
    Connection& c = found->second;
    text_.clear();
    fmt::format_to(
        std::back_inserter(text_),
        R"(data: {{"id":"m","object":"chat.completion.chunk","created":1,"model":"bench","choices":[{{"index":0,)"
        R"("delta":{{"content":"#{} {} "}},"finish_reason":null}}],)"
        R"("usage":{{"prompt_tokens":80,"completion_tokens":{},"total_tokens":{}}}}})"
        "\n\n",
        c.sent, due.at, c.sent + 1, c.sent + 81);
    ++c.sent;
    const bool last = --c.left == 0;
    if (last)
      fmt::format_to(
          std::back_inserter(text_),
          R"(data: {{"id":"m","object":"chat.completion.chunk","created":1,"model":"bench","choices":[],)"
          R"("usage":{{"prompt_tokens":80,"completion_tokens":{},"total_tokens":{}}}}})"
          "\n\ndata: [DONE]\n\n",
          c.sent, c.sent + 80);
    const std::string chunk = fmt::format("{:x}\r\n{}\r\n{}", text_.size(), text_, last ? "0\r\n\r\n" : "");
    if (!send_all(due.fd, chunk)) return drop(due.fd);
    if (last)
      c.serial = 0;
    else
      due_.push({due.at + kTokenNs, due.fd, due.serial});
  }

  int poll_, listener_;
  std::unordered_map<int, Connection> connections_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
  std::uint64_t serial_ = 0;
  std::string text_;
  char buffer_[256 * 1024];
  const std::string whole_ = with_head(
      "200 OK",
      R"({"id":"m","object":"chat.completion","created":1,"model":"bench","choices":[{"index":0,"message":{"role":)"
      R"("assistant","content":"one two three four five six seven eight nine ten","refusal":null},"logprobs":null,)"
      R"("finish_reason":"stop"}],"usage":{"prompt_tokens":80,"completion_tokens":10,"total_tokens":90}})");
};

}  // namespace

int run_mock(int port) {
  ::prctl(PR_SET_TIMERSLACK, 1);
  std::make_unique<Mock>(port)->run();
}

}  // namespace qanat::bench
