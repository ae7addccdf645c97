#include "tests/e2e/gateway/scripted_pool.hh"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <stdexcept>

#include "identifiers/descriptor/descriptor.hh"

namespace qanat::e2e {
namespace {

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

std::string with_head(const std::string& status, const std::string& body) {
  return "HTTP/1.1 " + status +
         "\r\ncontent-type: application/json\r\ncontent-length: " + std::to_string(body.size()) + "\r\n\r\n" +
         body;
}

std::string usage(std::uint64_t prompt, std::uint64_t completion, std::uint64_t cached = 0) {
  return R"("usage":{"prompt_tokens":)" + std::to_string(prompt) + R"(,"completion_tokens":)" +
         std::to_string(completion) + R"(,"total_tokens":)" + std::to_string(prompt + completion) +
         R"(,"prompt_tokens_details":{"cached_tokens":)" + std::to_string(cached) + "}}";
}

std::string chunk(const std::string& data) {
  const std::string event = "data: " + data + "\n\n";
  char size[16];
  std::snprintf(size, sizeof size, "%zx\r\n", event.size());
  return size + event + "\r\n";
}

constexpr std::string_view kStreamHead =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

// What is closed after this ends with a reset: nothing that is on its way arrives.
bool reset(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  return false;
}

bool streamed(const std::string& request) { return request.find("\"stream\":true") != std::string::npos; }

std::string content(const std::string& more = "", const std::string& text = "word ") {
  return R"({"id":"s","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":)"
         R"({"content":")" +
         text + R"("},"finish_reason":null}])" + (more.empty() ? "" : "," + more) + "}";
}

std::string closing(const std::string& usage) {
  return R"({"id":"s","object":"chat.completion.chunk","created":1,"model":"m","choices":[],)" + usage + "}";
}

std::string descriptor_of(const std::string& id, const std::string& model) {
  descriptor::Descriptor d;
  d.id = id;
  d.provider = "test";
  d.location = "gz.cn";
  d.site = id == "local" ? "city" : "far1";
  d.residency = "cn";
  d.services = {"infer"};
  d.card = {"nvidia", "h20", 8, 96'000'000'000, 4'000'000'000'000, {{"bf16", 148e12}}};
  d.models = {{model, "", "bf16", 32768, {400, 100, 1600}}};
  descriptor::EngineState engine;
  engine.model = model;
  engine.max_num_seqs = 1000;
  engine.kv_total_tokens = 10'000'000;
  engine.decode = {1000, 0, 0};
  engine.prefill = {1000, 1};
  d.state = {1, 60'000, descriptor::Health::Serving, {engine}};
  return descriptor::serialize(d);
}

}  // namespace

ScriptedPool::ScriptedPool(std::string id, unsigned port, bool scripted, const std::string& host,
                           std::string model)
    : id_(std::move(id)),
      model_(std::move(model)),
      scripted_(scripted),
      listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const int on = 1;
  ::setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(port));
  ::inet_pton(AF_INET, host.c_str(), &at.sin_addr);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0 ||
      ::listen(listener_, 1024) != 0)
    throw std::runtime_error("scripted pool: port " + std::to_string(port) + " is taken");
  thread_ = std::thread([this] { accept_all(); });
}

ScriptedPool::~ScriptedPool() {
  stop_ = true;
  thread_.join();
  ::close(listener_);
  while (open_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

void ScriptedPool::put_file(const std::string& name, std::string text) {
  const std::lock_guard lock(mutex_);
  files_[name] = std::move(text);
}

std::string ScriptedPool::last_request() const {
  const std::lock_guard lock(mutex_);
  return last_request_;
}

void ScriptedPool::accept_all() {
  while (!stop_) {
    pollfd p{listener_, POLLIN, 0};
    if (::poll(&p, 1, 50) <= 0) continue;
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    ++open_;
    std::thread([this, fd] {
      serve(fd);
      ::close(fd);
      --open_;
    }).detach();
  }
}

void ScriptedPool::serve(int fd) {
  std::string in;
  char buffer[64 * 1024];
  while (!stop_) {
    pollfd p{fd, POLLIN, 0};
    if (::poll(&p, 1, 50) <= 0) continue;
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0) return;
    in.append(buffer, static_cast<std::size_t>(n));
    const std::size_t head = in.find("\r\n\r\n");
    if (head == std::string::npos) continue;
    const std::size_t at = in.find("content-length: ");
    const std::size_t length = at < head ? std::strtoul(in.c_str() + at + 16, nullptr, 10) : 0;
    if (in.size() < head + 4 + length) continue;
    if (!answer(fd, in)) return;
    in.clear();
  }
}

bool ScriptedPool::describe(int fd) {
  const std::string head = "HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n";
  const auto go_on = [&](const std::string& piece, int every_ms) {
    if (!send_all(fd, head)) return false;
    pollfd p{fd, POLLIN, 0};
    while (!stop_ && send_all(fd, piece) && ::poll(&p, 1, every_ms) == 0) continue;
    return false;
  };
  switch (describes_) {
    case Descriptor::True: break;
    case Descriptor::Hangs: return go_on("", 50);
    case Descriptor::Garbage: return send_all(fd, with_head("200 OK", "<html>" + std::string(1000, '{')));
    case Descriptor::Endless: return go_on(std::string(65536, ' '), 0);
    case Descriptor::Drips: return go_on(" ", 20);
  }
  return send_all(fd, with_head("200 OK", descriptor_of(id_, model_)));
}

bool ScriptedPool::answer(int fd, const std::string& request) {
  if (request.starts_with("GET /qanat/v1/descriptor")) return describe(fd);
  if (request.starts_with("GET /")) {
    const std::lock_guard lock(mutex_);
    const auto file = files_.find(request.substr(5, request.find(' ', 5) - 5));
    if (file != files_.end()) return send_all(fd, with_head("200 OK", file->second));
  }
  if (!request.starts_with("POST /v1/chat/completions"))
    return send_all(fd, with_head("404 Not Found", "{}"));
  ++calls_;
  {
    const std::lock_guard lock(mutex_);
    last_request_ = request;
  }
  std::string script;
  if (const std::size_t at = request.find("\"x_script\":\""); scripted_ && at != std::string::npos)
    script = request.substr(at + 12, request.find('"', at + 12) - at - 12);
  if (script == "status_500")
    return send_all(fd, with_head("500 Internal Server Error", R"({"error":"tired"})"));
  if (script == "not_http") return send_all(fd, "220 mail.example ESMTP\r\n") && false;
  if (script == "closes") return false;
  if (script == "resets") return reset(fd);
  if (script == "endless_head") {
    std::string head = "HTTP/1.1 200 OK\r\n";
    while (head.size() < 4'000'000) head += "x-more: " + std::string(1000, 'x') + "\r\n";
    return send_all(fd, head) && false;
  }
  if (script == "endless_body") {
    if (!send_all(fd, "HTTP/1.1 200 OK\r\ncontent-length: 900000000\r\n\r\n")) return false;
    const std::string piece(1 << 20, ' ');
    while (!stop_ && send_all(fd, piece)) sent_ += piece.size();
    return false;
  }
  if (script == "silent" || script == "late" || script == "held") {
    const int rounds = script == "late" ? 30 : 400;  // of 50 ms
    for (int i = 0; i < rounds && !stop_ && !(script == "held" && released_); ++i) {
      pollfd p{fd, POLLIN, 0};
      if (::poll(&p, 1, 50) > 0) return ++left_, false;  // the gateway has left
    }
    if (script == "silent") return false;
  }
  if (request.find("\"tools\":[") != std::string::npos) return with_tools(fd, request);
  if (streamed(request)) return stream(fd, script);
  const std::string told =
      script == "missing_usage" ? std::string(R"("x":1)") : usage(kPrompt, kTokens, kCached);
  return send_all(
      fd, with_head("200 OK",
                    R"({"id":"s","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,)"
                    R"("message":{"role":"assistant","content":"word word word word "},"finish_reason":)"
                    R"("stop"}],)" +
                        told + "}"));
}

bool ScriptedPool::with_tools(int fd, const std::string& request) {
  const std::string at = R"("tools":[{"type":"function","function":{"name":")";
  const std::size_t name = request.find(at) + at.size();
  const std::string tool = request.substr(name, request.find('"', name) - name);
  const bool told = request.find(R"("role":"tool")") != std::string::npos;
  const std::string called = R"("id":"call_1","type":"function","function":{"name":")" + tool + "\"";
  const std::string finish = told ? R"("finish_reason":"stop")" : R"("finish_reason":"tool_calls")";
  const std::string all = usage(kPrompt, kTokens, kCached);
  if (!streamed(request)) {
    const std::string said =
        told ? R"("content":"It is dry.")"
             : R"("content":null,"tool_calls":[{)" + called + R"(,"arguments":"{\"place\":\"delta\"}"}}])";
    return send_all(fd, with_head("200 OK", R"({"id":"s","object":"chat.completion","created":1,"model":"m",)"
                                            R"("choices":[{"index":0,"message":{"role":"assistant",)" +
                                                said + "}," + finish + "}]," + all + "}"));
  }
  if (!send_all(fd, kStreamHead)) return false;
  const auto piece = [&](const std::string& delta, const std::string& end) {
    return send_all(
        fd,
        chunk(R"({"id":"s","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,)"
              R"("delta":)" +
              delta + "," + end + "}]}"));
  };
  const std::string open = R"("finish_reason":null)";
  const auto argument = [&](const std::string& text) {
    return piece(R"({"tool_calls":[{"index":0,"function":{"arguments":")" + text + R"("}}]})", open);
  };
  const bool sent = told ? piece(R"({"content":"It is "})", open) && piece(R"({"content":"dry."})", open)
                         : piece(R"({"tool_calls":[{"index":0,)" + called + R"(,"arguments":""}}]})", open) &&
                               argument(R"({\"place\":)") && argument(R"(\"delta\"})");
  return sent && piece("{}", finish) && send_all(fd, chunk(closing(all))) && send_all(fd, chunk("[DONE]")) &&
         send_all(fd, "0\r\n\r\n");
}

bool ScriptedPool::stream(int fd, std::string_view script) {
  if (!send_all(fd, kStreamHead)) return false;
  // drip: a token every 50 ms, for a minute; torrent: more than any socket holds, 16 KiB a token.
  // poisoned: a word of two tokens that a filter may know, the 120th and the 121st of 200.
  const bool poisoned = script == "poisoned", slow = script == "slow" || poisoned, drip = script == "drip",
             torrent = script == "torrent";
  const std::uint64_t tokens = script == "never_ends" ? 1'000'000
                               : torrent              ? kTorrentTokens
                               : drip                 ? 1200
                               : slow                 ? 200
                                                      : kTokens;
  const std::string text = torrent ? std::string(16 * 1024, 'w') : "word ";
  for (std::uint64_t i = 1; i <= tokens && !stop_; ++i) {
    std::string more;
    if (script == "usage_on_content" && i == tokens) more = usage(kPrompt, tokens, kCached);
    if (slow) more = usage(kPrompt, i, kCached);
    if (script == "claims_too_much") more = usage(1'000'000'000, 1'000'000, 0);
    const bool first = poisoned && i == 120, second = poisoned && i == 121;
    if (!send_all(fd, chunk(content(more, first ? "poi" : second ? "son " : text)))) return false;
    if (slow || drip) std::this_thread::sleep_for(std::chrono::milliseconds(drip ? 50 : 3));
    if (i != 3) continue;
    if (script == "error_after_200")
      return send_all(
          fd, chunk(R"({"error":{"message":"card lost","type":"server_error","param":null,"code":"card"}})"));
    if (script == "garbage") return send_all(fd, chunk("<html>not json"));
    if (script == "breaks_off") return false;
    if (script == "resets_late") return reset(fd);
  }
  const bool plain = script.empty() || slow || drip || torrent;
  if (plain && !send_all(fd, chunk(closing(usage(kPrompt, tokens, kCached))))) return false;
  if (script == "claims_too_much" && !send_all(fd, chunk(closing(usage(1'000'000'000, 1'000'000, 0)))))
    return false;
  return send_all(fd, chunk("[DONE]")) && send_all(fd, "0\r\n\r\n");
}

}  // namespace qanat::e2e
