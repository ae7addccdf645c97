#include "tools/lab/chaos/callers.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/http_client.hh"
#include "tools/linkem/netns.hh"
#include "tools/replay/chat_stream.hh"

namespace qanat::chaos {
namespace {

using namespace std::chrono_literals;
using boost::asio::awaitable;

// Longer than any pause of a scenario: a client that hangs up first leaves bytes under way that nobody can count.
constexpr auto kPatience = 30s;

awaitable<void> pause(std::chrono::milliseconds time) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
  boost::system::error_code ignored;
  co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
}

}  // namespace

struct Callers::Loop {
  Callers& self;
  base::HttpClient client;
  std::string body;

  // One call, to its end or where it broke.
  awaitable<CallSeen> call() {
    base::ClientRequest request;
    request.method = "POST";
    request.target = "/v1/chat/completions";
    request.body = body;
    request.headers.set("authorization", "Bearer " + self.gateway_.key);
    CallSeen seen;
    auto stream = co_await client.open(self.gateway_.url, std::move(request));
    if (!stream) co_return seen;
    seen.id = std::string(stream->headers().value_or("x-qanat-call", ""));
    if (stream->status() != 200) co_return seen;
    replay::ChatStream chat;
    for (;;) {
      const auto bytes = co_await stream->read_some();
      if (!bytes || bytes->empty()) break;
      seen.tokens += chat.feed(*bytes);
    }
    seen.whole = chat.failure(true).empty();
    co_return seen;
  }

  awaitable<void> caller() {
    while (!self.stopping_) {
      CallSeen seen = co_await call();
      const bool answered = seen.tokens > 0;
      if (seen.whole) ++self.whole_;
      {
        const std::lock_guard lock(self.mutex_);
        if (!seen.id.empty()) self.seen_.push_back(std::move(seen));
      }
      co_await pause(answered ? 20ms : 250ms);
    }
  }
};

Callers::Callers(const lab::GatewayState& gateway, std::string model, int concurrent, int tokens)
    : gateway_(gateway), model_(std::move(model)), tokens_(tokens), thread_([this, concurrent] {
        const linkem::NetnsScope inside(gateway_.netns);
        boost::asio::io_context io{1};
        base::HttpClientOptions options;
        options.read_timeout = kPatience;
        const nlohmann::json body = {
            {"model", model_},
            {"stream", true},
            {"max_tokens", tokens_},
            {"x_qanat_sim_output_tokens", tokens_},
            {"messages", {{{"role", "user"}, {"content", "What does a qanat carry?"}}}}};
        Loop loop{*this, base::HttpClient(io, options), body.dump()};
        int active = concurrent;
        for (int i = 0; i < concurrent; ++i)
          boost::asio::co_spawn(io, loop.caller(), [&](const std::exception_ptr&) {
            if (--active == 0) io.stop();  // rather than wait for idle connections
          });
        io.run();
      }) {}

Callers::~Callers() { stop(); }

void Callers::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

std::vector<CallSeen> Callers::seen() const {
  const std::lock_guard lock(mutex_);
  return seen_;
}

}  // namespace qanat::chaos
