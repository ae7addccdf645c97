#include "gateway/relay/content_filter.hh"

#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/clock.hh"
#include "base/errc.hh"
#include "base/log.hh"
#include "gateway/relay/request_scan.hh"

namespace qanat::relay {
namespace asio = boost::asio;
namespace {

constexpr std::size_t kMaxVerdictBytes = 64 * 1024;
constexpr std::size_t kMaxReason = 512;

base::Counter& filter_counter(base::MetricsRegistry& metrics, const char* verdict) {
  return metrics.counter("qanat_gateway_filter_total", "Texts that the content filter was asked about",
                         {{"verdict", verdict}});
}

base::HttpClientOptions filter_options(const FilterConfig& config) {
  base::HttpClientOptions options;
  options.connect_timeout = config.patience;
  options.read_timeout = config.patience;
  return options;
}

}  // namespace

ContentFilter::ContentFilter(asio::io_context& io, const FilterConfig& config, base::MetricsRegistry& metrics)
    : io_(io),
      config_(config),
      client_(io, filter_options(config)),
      allowed_(filter_counter(metrics, "allowed")),
      refused_(filter_counter(metrics, "refused")),
      failed_(filter_counter(metrics, "failed")) {}

// Within the patience for all of it, however slowly it drips. A kept connection that died under the question is no
// answer: it is asked once more, on another.
asio::awaitable<base::Result<base::ClientResponse>> ContentFilter::post(std::string text) {
  std::function<void()> cancel;
  bool late = false;
  asio::steady_timer timer(io_, config_.patience);
  timer.async_wait([&](const boost::system::error_code& ec) {
    if (ec) return;
    late = true;
    if (cancel) cancel();
  });
  base::Result<base::ClientResponse> answer = base::make_error_code(base::Errc::Closed);
  for (int tries = 0; tries < 2 && !late; ++tries) {
    base::ClientRequest request;
    request.method = "POST";
    request.target = config_.path;
    request.body = text;
    auto stream = co_await client_.open(config_.origin, std::move(request), &cancel);
    if (!stream) {
      answer = stream.error();
      if (stream.error() == base::Errc::Closed) continue;
      break;
    }
    cancel = stream->canceller();
    auto body = co_await stream->read_all(kMaxVerdictBytes);
    if (body)
      answer = base::ClientResponse{stream->status(), {}, std::move(*body)};
    else
      answer = body.error();
    break;
  }
  cancel = nullptr;
  timer.cancel();
  co_return answer;
}

asio::awaitable<ContentFilter::Verdict> ContentFilter::ask(Stage stage, const std::string& call,
                                                           const admit::KeyInfo& key,
                                                           const std::string& model,
                                                           const std::string& body) {
  std::string text = R"({"stage":")";
  text += stage == Stage::Request ? "request" : stage == Stage::Answer ? "answer" : "stream";
  text += R"(","call":)" + json_string(call) + R"(,"tenant":)" + json_string(key.tenant);
  text += R"(,"project":)" + json_string(key.project) + R"(,"model":)" + json_string(model);
  text += R"(,"body":)" + body + "}";
  const auto answer = co_await post(std::move(text));
  Verdict verdict;
  const auto said = answer && answer->status == 200 ? nlohmann::json::parse(answer->body, nullptr, false)
                                                    : nlohmann::json(nlohmann::json::value_t::discarded);
  if (!said.is_object() || !said.contains("allow") || !said["allow"].is_boolean()) {
    static base::LogGate gate{std::chrono::seconds{5}};
    base::log_gated(gate, base::monotonic_now(), base::LogLevel::Error,
                    "the content filter at {}{} did not answer as it should ({}): calls are {}",
                    config_.origin, config_.path,
                    answer ? "status " + std::to_string(answer->status) : answer.error().message(),
                    config_.open ? "let through" : "refused");
    failed_.add();
    verdict.failed = true;
    verdict.allowed = config_.open;
    co_return verdict;
  }
  verdict.allowed = said["allow"].get<bool>();
  (verdict.allowed ? allowed_ : refused_).add();
  if (!verdict.allowed && said.contains("reason") && said["reason"].is_string())
    verdict.reason = said["reason"].get<std::string>().substr(0, kMaxReason);
  co_return verdict;
}

}  // namespace qanat::relay
