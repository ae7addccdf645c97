#include "controller/store/etcd_watch.hh"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <nlohmann/json.hpp>

#include "base/http_client.hh"
#include "base/log.hh"

namespace qanat::store {

namespace asio = boost::asio;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

namespace {

constexpr auto kRetry = std::chrono::milliseconds(250);
// A line is one revision's changes; a transaction of etcd's is bounded, too.
constexpr std::size_t kMostLine = 64 * 1024 * 1024;

base::HttpClientOptions options(const EtcdConfig& config) {
  base::HttpClientOptions out;
  out.connect_timeout = EtcdClient::kCallLimit;
  out.read_timeout = EtcdWatch::kSilence;
  out.tls = config.tls;
  return out;
}

}  // namespace

struct EtcdWatch::State {
  State(asio::io_context& context, EtcdConfig c, std::string p)
      : io(context), config(std::move(c)), prefix(std::move(p)), http(context, options(config)) {
    for (const std::string& endpoint : config.endpoints) members.emplace_back(context, endpoint);
  }

  // One member of etcd, and the connection on which it tells.
  struct Member {
    Member(asio::io_context& context, std::string at) : endpoint(std::move(at)), pause(context) {}
    std::string endpoint;
    asio::steady_timer pause;
    std::function<void()> cancel;
  };

  asio::awaitable<void> run(std::shared_ptr<State> self, Member& member);
  asio::awaitable<void> follow(Member& member);
  asio::awaitable<std::string> sign_in(std::string endpoint);
  void take(std::string_view line);

  asio::io_context& io;
  EtcdConfig config;
  std::string prefix;
  base::HttpClient http;
  std::list<Member> members;
  std::int64_t next = 0;  // the first revision not yet seen
  std::function<std::int64_t(const EtcdNews&)> on_news;
  bool stopped = false;
};

EtcdWatch::EtcdWatch(asio::io_context& io, EtcdConfig config, std::string prefix)
    : state_(std::make_shared<State>(io, std::move(config), std::move(prefix))) {}

EtcdWatch::~EtcdWatch() { stop(); }

void EtcdWatch::start(std::int64_t revision, std::function<std::int64_t(const EtcdNews&)> on_news) {
  state_->next = revision;
  state_->on_news = std::move(on_news);
  for (auto& member : state_->members)
    asio::co_spawn(state_->io, state_->run(state_, member), asio::detached);
}

void EtcdWatch::stop() {
  state_->stopped = true;
  state_->on_news = {};
  for (auto& member : state_->members) {
    member.pause.cancel();
    if (member.cancel) member.cancel();
  }
}

asio::awaitable<void> EtcdWatch::State::run(std::shared_ptr<State> self, Member& member) {
  while (!stopped) {
    co_await follow(member);
    if (stopped) break;
    member.pause.expires_after(kRetry);
    co_await member.pause.async_wait(kAwait);
  }
  self.reset();
}

asio::awaitable<std::string> EtcdWatch::State::sign_in(std::string endpoint) {
  if (config.user.empty()) co_return std::string();
  const nlohmann::json who = {{"name", config.user}, {"password", config.password}};
  base::ClientRequest request;
  request.method = "POST";
  request.target = "/v3/auth/authenticate";
  request.body = who.dump();
  const auto reply = co_await http.fetch(std::move(endpoint), std::move(request));
  if (!reply || reply->status != 200) co_return std::string();
  const nlohmann::json answer = nlohmann::json::parse(reply->body, nullptr, false);
  co_return answer.is_object() ? answer.value("token", "") : std::string();
}

asio::awaitable<void> EtcdWatch::State::follow(Member& member) {
  const std::string token = co_await sign_in(member.endpoint);
  if (stopped) co_return;
  base::ClientRequest request;
  request.method = "POST";
  request.target = "/v3/watch";
  request.body = watch_request(prefix, next);
  if (!token.empty()) request.headers.set("authorization", token);
  auto stream = co_await http.open(member.endpoint, std::move(request), &member.cancel);
  if (!stream || stream->status() != 200) {
    const std::string why = stream ? "status " + std::to_string(stream->status()) : stream.error().message();
    if (!stopped) base::log_debug("etcd: watch {}: {}", member.endpoint, why);
    co_return;
  }
  member.cancel = stream->canceller();
  std::string text;
  while (!stopped) {
    const auto bytes = co_await stream->read_some();
    if (!bytes || bytes->empty() || text.size() > kMostLine) break;
    text += *bytes;
    std::size_t from = 0;
    for (std::size_t end = text.find('\n'); end != std::string::npos && !stopped;
         end = text.find('\n', from)) {
      take(std::string_view(text).substr(from, end - from));
      from = end + 1;
    }
    text.erase(0, from);
  }
  member.cancel = {};
}

// Members tell the same: who tells it first is believed, the others' words are old by then.
void EtcdWatch::State::take(std::string_view line) {
  auto news = parse_news(line);
  if (!news || !on_news) return;
  if (news->gap) {
    next = on_news(*news) + 1;
    return;
  }
  std::erase_if(news->changes, [&](const EtcdChange& change) { return change.revision < next; });
  if (news->changes.empty()) return;
  next = news->changes.back().revision + 1;
  on_news(*news);
}

}  // namespace qanat::store
