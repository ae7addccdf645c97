// GradeDesk: the grades of service, kept in the books every few seconds, told to tenants (their own) and to who runs the
// gateway (everybody's), with the misses that can be seen coming.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "gateway/meter/grade_rows.hh"
#include "gateway/relay/relay.hh"

namespace qanat::base {
class HttpServer;
}

namespace qanat::app {

class ValveDesk;

// All on the io_context's one thread; what it is given outlives it.
class GradeDesk : public std::enable_shared_from_this<GradeDesk> {
 public:
  struct Wiring {
    boost::asio::io_context& io;
    std::string gateway;
    place::Wish wish;  // of calls that name no SLA of their own
    resolve::Registry& registry;
    relay::Relay& relay;
    meter::LedgerThread& ledger;
    ValveDesk& valves;
  };
  explicit GradeDesk(Wiring wiring) : w_(std::move(wiring)), timer_(w_.io) {}
  void start();
  void stop();
  // A call that the end of a former process cut short.
  void cut_short(const meter::Settlement& call);
  void add_tenant_routes(base::HttpServer& server);
  void add_admin_routes(base::HttpServer& server);

 private:
  static boost::asio::awaitable<void> follow(std::shared_ptr<GradeDesk> self);
  // What has gathered is in the books when it returns; where they cannot be written, it is kept for the next time.
  boost::asio::awaitable<void> keep();
  boost::asio::awaitable<nlohmann::json> report(std::string tenant, std::int64_t since_unix_ms);
  // What a call for the model would miss if it came now, and what is expected beyond what can be up.
  nlohmann::json ahead(const std::string& model);
  nlohmann::json expected_beyond(const std::string& model) const;

  Wiring w_;
  boost::asio::steady_timer timer_;
  std::int64_t forgotten_ms_ = 0;  // when old rows were last dropped
  bool stopping_ = false;
};

}  // namespace qanat::app
