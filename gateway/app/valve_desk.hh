// ValveDesk: the valves' hands: counts what is wanted of each model, tells pools how many engines should be awake and
// hears what came of it, says to placement where calls may go, and keeps the books of card time. Every placeholder has a
// loop of its own, so that a silent pool delays nobody; what pools are told is the whole wish each time, so that a lost
// answer loses nothing.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/http_client.hh"
#include "base/metrics.hh"
#include "gateway/app/valve_config.hh"
#include "gateway/app/valve_store.hh"
#include "gateway/meter/ledger_thread.hh"
#include "gateway/relay/relay.hh"

namespace qanat::base {
class HttpServer;
}

namespace qanat::app {

struct DispatchRequest;

// All on the io_context's one thread; what it is given outlives it.
class ValveDesk : public std::enable_shared_from_this<ValveDesk> {
 public:
  struct Wiring {
    boost::asio::io_context& io;
    std::string gateway;  // its name: the placeholders' owner
    std::string dataplane_socket;
    resolve::Registry& registry;
    relay::Relay& relay;
    meter::LedgerThread& ledger;
    base::MetricsRegistry& metrics;
    // The ticket that a pool is shown, for its own name; null: this gateway keeps no artefacts, and has no key to sign by.
    std::function<std::string(const std::string& verb, const std::string& subject, const std::string& pool)>
        sign = {};
  };
  // One placeholder, as this gateway sees it.
  struct Remote {
    ValveRemote is;
    std::string id;  // at the pool: "GATEWAY.MODEL", and at this gateway with the pool's index before
    std::string pool_name;
    std::size_t pool = 0;  // in the registry
    boost::asio::steady_timer timer;
    bool priced = false, stopping = false, released = false;
    std::uint32_t told = 0;  // awake, as the pool last acknowledged
    std::uint32_t held = 0, serving = 0;
    base::Time ready{};
    bool staged = false;  // as the pool says: it would start from its own disk
    std::string image, card, error;
    bool open = true;  // its owner offers it at this hour
    std::int64_t opens_unix_ms = 0;
    std::uint64_t offer = 0;       // the version of the owner's offer that it is priced by
    std::uint32_t cards = 0;       // of one engine
    PlaceholderMark mark, booked;  // as last heard; as far as the line of its use is handed to the store
    std::optional<ValveUse> use;
    base::Time use_saved{};
    meter::Nano charged = 0;
    std::int64_t card_ms = 0;
    Remote(boost::asio::io_context& io) : timer(io) {}
  };
  struct Line {
    std::string model;
    place::Valve valve;
    std::vector<std::shared_ptr<Remote>> remotes;
    place::Valve::Kept saved;
    bool dispatched = false;  // made by a dispatch, not by the configuration
    Line(std::string m, place::Valve v) : model(std::move(m)), valve(std::move(v)) {}
  };

  // `kept`: from the store, at the gateway's start.
  ValveDesk(Wiring wiring, const std::vector<ValveConfig>& valves, std::map<std::string, KeptValve> kept,
            std::map<std::string, std::string> dispatches);
  void start();
  void stop();
  void add_routes(base::HttpServer& server);

  Line* find(std::string_view model);
  const std::vector<std::unique_ptr<Line>>& lines() const { return lines_; }
  // Durable when it returns. What was acknowledged is on disk before.
  boost::asio::awaitable<void> save(Line& line);
  // After a change by hand: pools are told, placement knows, now.
  void settle(Line& line);
  Line& line_for(const std::string& model, const place::ValveSettings& settings);
  Remote& bind(Line& line, const ValveRemote& remote, const place::Placeholder& placeholder);
  // Its engines drain, the right goes, the line forgets it.
  void release(Line& line, const std::string& remote_id);
  boost::asio::awaitable<base::Result<base::ClientResponse>> ask(std::string origin, std::string method,
                                                                 std::string target, std::string body,
                                                                 std::string ticket = {});
  const Wiring& wiring() const { return w_; }
  std::map<std::string, std::string>& dispatches() { return dispatches_; }
  // As GET /v1/valves shows it.
  static nlohmann::json line_json(const Line& line);

 private:
  void add_dispatch_routes(base::HttpServer& server);
  static boost::asio::awaitable<void> count(std::shared_ptr<ValveDesk> self);
  static boost::asio::awaitable<void> follow(std::shared_ptr<ValveDesk> self, Line& line,
                                             std::shared_ptr<Remote> remote);
  std::string lease_ticket(const Remote& remote) const;
  boost::asio::awaitable<bool> price(Line& line, Remote& remote);
  void heard(Line& line, Remote& remote, std::string_view body);
  void book(Line& line, Remote& remote, std::int64_t epoch, std::int64_t card_ms, std::int64_t charged);
  static boost::asio::awaitable<void> pause(boost::asio::steady_timer& timer, base::Duration duration);
  void gate(Line& line);
  void save_later(Line& line);
  KeptValve kept(const Line& line) const;

  Wiring w_;
  base::HttpClient client_;
  boost::asio::steady_timer timer_;
  std::vector<std::unique_ptr<Line>> lines_;
  std::map<std::string, KeptValve> kept_;  // of lines that are yet to be made
  std::map<std::string, std::string> dispatches_;
  base::Time history_saved_{};
  bool stopping_ = false, started_ = false;
};

}  // namespace qanat::app
