// Desk: what every northbound request passes: whose token it is, what that role may, the audit log for changes, refusals
// counted and logged. Private to northbound; routes stand in look_routes.cc, change_routes.cc and
// account_routes.cc.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/http_server.hh"
#include "base/log.hh"
#include "base/metrics.hh"
#include "controller/northbound/access.hh"
#include "controller/northbound/accounts.hh"
#include "controller/northbound/audit_log.hh"
#include "controller/northbound/event_stream.hh"
#include "controller/northbound/intents.hh"
#include "controller/session/level.hh"

namespace qanat::session {
class Listener;
}

namespace qanat::northbound {

using base::HttpServer;
using base::Request;
using base::Responder;
using Answer = boost::asio::awaitable<void>;

session::Now now();
std::string joined(const Problems& problems);

// What a change came to. An error where `code` is not empty.
struct Reply {
  int status = 200;
  std::string body = "{}";
  std::string code = {};
  std::string message = {};
  std::string hint = {};
  std::string result = {};  // for the audit log
  bool logged = true;       // false: nobody here could have done it, so no log of ours tells of it
};
Reply failed(int status, std::string_view code, std::string message, std::string_view hint = {});

// What a route asks of its caller.
struct Need {
  Role least = Role::Viewer;
  bool tenants_too = false;  // a token of one tenant may use it; the handler shows it its own alone
};
inline constexpr Need kViewer{Role::Viewer}, kOperator{Role::Operator}, kAdmin{Role::Admin};

class Desk {
 public:
  using Look = std::function<Answer(Request&, Responder&, const Caller&)>;
  using Change = std::function<Reply(Request&, const Caller&)>;

  // All outlive it.
  Desk(boost::asio::io_context& io, session::Level& level, const session::Listener& listener,
       store::Store& store);
  ~Desk();

  // A server whose callers need a token (guarded), or the socket's.
  void add_routes(HttpServer& server, bool guarded);
  // What stands before the guarded server's routes.
  base::HttpHooks hooks(bool guarded);
  void stop();
  base::MetricsRegistry& metrics() { return metrics_; }
  // Ends a canary whose time is up, or that failed. To be called often.
  void on_timer(session::Now now);
  // To those who listen; what became of a promise is kept in the audit log, too.
  void on_event(const session::Event& event);

  Access access;
  EventStream events;
  std::string addresses = "[]";  // JSON: where members reach this controller

 private:
  // A view of the desk for one server while its routes are added.
  struct Routes {
    Desk& desk;
    HttpServer& server;
    bool guarded;
    // GET, or a POST that changes nothing.
    void look(std::string_view pattern, Need need, Look handler, std::string_view method = "GET");
    void change(std::string_view method, std::string_view pattern, Need need, Change handler);
  };
  void add_look_routes(Routes& routes);
  void add_change_routes(Routes& routes);
  void add_account_routes(Routes& routes);
  void add_sla_routes(Routes& routes);
  void add_metrics(const session::Listener& listener);
  void add_sla_metrics();

  std::optional<Caller> caller_of(const Request& in, bool guarded) const;
  void note_refusal(int status, std::string_view code, const Request& head);
  Reply change(const Change& handler, Request& in, const Caller& caller, Need need);
  Reply run(const Change& handler, Request& in, const Caller& caller, Need need);
  void record(const Request& in, const Caller& caller, const Reply& reply);
  static Answer or_leader(const Look& handler, Request& in, Responder& out, const Caller& caller);
  Answer what_if(Request& in, Responder& out);
  Answer let_in(Request& in, Responder& out, bool enrols);
  std::string canary_json() const;
  Reply apply(Request& in, const Caller& caller);
  Reply settle(session::CanaryEnd end, Request& in, const Caller& caller);
  void told(const Intents::Settled& settled);
  Reply mint(Request& in);
  Reply put_tenant(Request& in, const Caller& caller);
  Reply make_token(Request& in, const Caller& caller);
  Reply replied(const Intents::Outcome& outcome, std::string_view hint, Reply missing = {}) const;

  session::Level& level_;
  store::Store& store_;
  Intents intents_;
  std::optional<Intents::Settled> settled_;  // the last canary
  AuditLog audit_;
  Accounts accounts_;
  base::MetricsRegistry metrics_;
  std::set<std::uint8_t> planes_seen_;  // that have a series
  base::Counter* violations_ = nullptr;
  std::vector<base::Labels> rated_;     // tenants that have series
  std::vector<base::Labels> reserved_;  // planes likewise
  std::vector<base::Labels> promised_;  // whose series there are
  base::LogGate gate_{std::chrono::seconds{1}};
  boost::asio::thread_pool thinking_{1};  // what-if
  std::size_t questions_ = 0;
  boost::asio::thread_pool checking_{1};  // passwords
  std::size_t checks_ = 0;
};

}  // namespace qanat::northbound
