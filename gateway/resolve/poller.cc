#include "gateway/resolve/poller.hh"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <nlohmann/json.hpp>

#include "base/clock.hh"
#include "base/http_message.hh"
#include "base/log.hh"

namespace qanat::resolve {
namespace asio = boost::asio;

std::optional<Path> parse_paths(std::string_view json) {
  const auto list = nlohmann::json::parse(json, nullptr, false);
  if (!list.is_array()) return std::nullopt;
  for (const auto& entry : list) {
    if (!entry.is_object() || !entry.value("active", false)) continue;
    const auto names = entry.find("names");
    const auto rtt = entry.find("rtt_us");
    if (names == entry.end() || !names->is_array() || rtt == entry.end() || !rtt->is_number()) continue;
    Path path;
    for (const auto& name : *names) {
      if (!name.is_string()) return std::nullopt;
      path.text += (path.text.empty() ? "" : ">") + name.get<std::string>();
    }
    const auto plane = entry.find("first_plane");
    if (plane != entry.end() && plane->is_number_integer())
      path.plane = plane->get<int>() == 1 ? "private" : "internet";
    const auto alive = entry.find("alive");
    path.alive = alive == entry.end() || !alive->is_boolean() || alive->get<bool>();
    const double us = rtt->get<double>();
    if (!(us >= 0 && us < 60e6)) return std::nullopt;
    path.rtt = std::chrono::microseconds(static_cast<std::int64_t>(us));
    return path;
  }
  return std::nullopt;
}

struct Poller::State : std::enable_shared_from_this<State> {
  State(asio::io_context& io_context, Registry& r, PollerOptions o)
      : io(io_context), registry(r), options(std::move(o)), client(io_context, client_options()) {}

  static base::HttpClientOptions client_options() {
    base::HttpClientOptions o;
    o.connect_timeout = std::chrono::seconds{1};
    o.read_timeout = std::chrono::seconds{1};
    o.body_bytes = descriptor::kMaxBytes;
    o.idle_per_origin = 1;
    o.dscp = ids::dscp(ids::Tier::Critical);  // small, and every placement leans on it
    return o;
  }

  asio::io_context& io;
  Registry& registry;
  PollerOptions options;
  base::HttpClient client;
  std::list<asio::steady_timer> timers;
  bool stopping = false;

  asio::awaitable<void> pause(asio::steady_timer& timer, base::Duration duration) {
    timer.expires_after(duration);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  asio::awaitable<void> poll_pool(std::size_t index) {
    const auto self = shared_from_this();
    asio::steady_timer& timer = timers.emplace_back(io);
    bool down = false;
    while (!stopping) {
      if (registry.pool(index).withdrawn) {
        co_await pause(timer, options.interval);
        continue;
      }
      const std::string origin = registry.pool(index).config.url;
      const base::Time asked = base::monotonic_now();
      base::ClientRequest request;
      request.target = "/qanat/v1/descriptor";
      const auto answer = co_await client.fetch(origin, std::move(request));
      if (stopping) break;
      const base::Time now = base::monotonic_now();
      std::string error;
      if (!answer) {
        error = answer.error().message();
      } else if (answer->status != 200) {
        error = "status " + std::to_string(answer->status);
      } else if (auto parsed = descriptor::parse(answer->body); !parsed.has_value()) {
        error = "descriptor: " + descriptor::to_string(parsed.error());
      } else {
        registry.on_descriptor(index, std::move(*parsed), asked, now);
        error = registry.pool(index).error;
      }
      if (!error.empty()) registry.on_poll_failed(index, error, now);
      if (!error.empty() != down) {
        down = !down;
        if (down)
          base::log_warn("pool {} does not tell its state: {}", origin, error);
        else
          base::log_info("pool {} ({}) tells its state again", origin, registry.pool(index).name());
      }
      co_await pause(timer, options.interval);
    }
  }

  asio::awaitable<void> poll_paths() {
    const auto self = shared_from_this();
    asio::steady_timer& timer = timers.emplace_back(io);
    const std::string origin = "unix:" + options.dataplane_socket;
    while (!stopping) {
      for (std::size_t i = 0; i < registry.size() && !stopping; ++i) {
        const std::string node = registry.pool(i).config.node;
        if (node.empty() || registry.pool(i).config.local) continue;
        base::ClientRequest request;
        request.target = "/v1/paths?tier=interactive&to=" + base::percent_encode(node);
        const auto answer = co_await client.fetch(origin, std::move(request));
        if (stopping || !answer || answer->status != 200) break;
        if (auto path = parse_paths(answer->body)) registry.on_path(i, std::move(*path));
      }
      co_await pause(timer, options.path_interval);
    }
  }
};

Poller::Poller(asio::io_context& io, Registry& registry, PollerOptions options)
    : state_(std::make_shared<State>(io, registry, std::move(options))) {}

Poller::~Poller() { stop(); }

void Poller::start() {
  for (std::size_t i = 0; i < state_->registry.size(); ++i) watch(i);
  if (!state_->options.dataplane_socket.empty())
    asio::co_spawn(state_->io, state_->poll_paths(), asio::detached);
}

void Poller::watch(std::size_t index) {
  asio::co_spawn(state_->io, state_->poll_pool(index), asio::detached);
}

void Poller::stop() {
  state_->stopping = true;
  for (auto& timer : state_->timers) timer.cancel();
}

}  // namespace qanat::resolve
