#include "tools/lab/chaos/orders.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_client.hh"
#include "tools/linkem/netns.hh"

namespace qanat::chaos {
namespace {

using namespace std::chrono_literals;
using boost::asio::awaitable;
using nlohmann::json;

constexpr auto kBetween = 1500ms;
constexpr int kTuneEvery = 4;
constexpr std::size_t kFileBytes = 40'000;
constexpr std::uint64_t kDeadlineMs = 600'000;
constexpr const char* kBoundary = "qanat-soak-boundary";

// A file like no other: chat lines, so that it can be trained with.
std::string upload_of(int number) {
  std::string lines;
  const std::string pad(2000, 'w');
  for (int i = 0; lines.size() < kFileBytes; ++i)
    lines += R"({"messages":[{"role":"user","content":")" + std::to_string(number) + "-" + std::to_string(i) +
             pad + R"("},{"role":"assistant","content":"water"}]})" + "\n";
  const std::string part = std::string("--") + kBoundary + "\r\nContent-Disposition: form-data; name=\"";
  return part + "purpose\"\r\n\r\nfine-tune\r\n" + part + "file\"; filename=\"soak-" +
         std::to_string(number) + ".jsonl\"\r\nContent-Type: application/jsonl\r\n\r\n" + lines + "\r\n--" +
         kBoundary + "--\r\n";
}

}  // namespace

struct Orders::Loop {
  Orders& self;
  base::HttpClient client;
  boost::asio::steady_timer timer;

  awaitable<void> pause(std::chrono::milliseconds time) {
    timer.expires_after(time);
    boost::system::error_code ignored;
    co_await timer.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }

  // The answer's id; empty: refused, or nobody there.
  awaitable<std::string> ask(std::string target, std::string body, std::string type) {
    base::ClientRequest request;
    request.method = "POST";
    request.target = std::move(target);
    request.body = std::move(body);
    request.headers.set("authorization", "Bearer " + self.gateway_.key);
    request.headers.set("content-type", type);
    const auto answer = co_await client.fetch(self.gateway_.url, std::move(request));
    if (!answer || answer->status >= 300) co_return std::string();
    const json j = json::parse(answer->body, nullptr, false);
    co_return j.is_object() ? j.value("id", "") : std::string();
  }

  awaitable<void> order(int number) {
    std::string body = upload_of(number), target = "/v1/files",
                type = std::string("multipart/form-data; boundary=") + kBoundary;
    const std::string file = co_await ask(std::move(target), std::move(body), std::move(type));
    if (file.empty()) co_return;
    // With a deadline, so on bulk: of scavenger the observer's probes of loops are alone.
    const std::uint64_t by = base::unix_now_ms() + kDeadlineMs;
    const json wanted{{"dataset", file},
                      {"site", self.sites_[std::size_t(number) % self.sites_.size()]},
                      {"by_unix_ms", by}};
    target = "/qanat/v1/transfers";
    body = wanted.dump();
    type = "application/json";
    const std::string transfer = co_await ask(std::move(target), std::move(body), std::move(type));
    std::string tune;
    if (number % kTuneEvery == 0) {
      const json job{
          {"model", self.model_}, {"training_file", file}, {"suffix", "soak" + std::to_string(number)}};
      target = "/v1/fine_tuning/jobs";
      body = job.dump();
      type = "application/json";
      tune = co_await ask(std::move(target), std::move(body), std::move(type));
    }
    const std::lock_guard lock(self.mutex_);
    if (!transfer.empty()) self.transfers_.push_back(transfer);
    if (!tune.empty()) self.tunes_.push_back(tune);
  }

  awaitable<void> run() {
    for (int number = 0; !self.stopping_; ++number) {
      co_await order(number);
      for (auto left = kBetween; left > 0ms && !self.stopping_; left -= 100ms) co_await pause(100ms);
    }
  }
};

Orders::Orders(const lab::GatewayState& gateway, std::string model, std::vector<std::string> sites)
    : gateway_(gateway), model_(std::move(model)), sites_(std::move(sites)), thread_([this] {
        const linkem::NetnsScope inside(gateway_.netns);
        boost::asio::io_context io{1};
        base::HttpClientOptions options;
        options.read_timeout = 10s;
        Loop loop{*this, base::HttpClient(io, options), boost::asio::steady_timer(io)};
        boost::asio::co_spawn(io, loop.run(), [&](const std::exception_ptr&) { io.stop(); });
        io.run();
      }) {}

Orders::~Orders() { stop(); }

void Orders::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

std::vector<std::string> Orders::transfers() const {
  const std::lock_guard lock(mutex_);
  return transfers_;
}
std::vector<std::string> Orders::tunes() const {
  const std::lock_guard lock(mutex_);
  return tunes_;
}

}  // namespace qanat::chaos
