// Northbound: what operators and their tools talk to (seams.md §3): REST, server-sent events, metrics, the live page.
// The same routes on TCP, behind a bearer token with a role, and on a Unix socket of mode 0600, without one.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace boost::asio {
class io_context;
}
namespace qanat::base {
class MetricsRegistry;
}
namespace qanat::session {
class Level;
class Listener;
}  // namespace qanat::session
namespace qanat::store {
class Store;
}

namespace qanat::northbound {

class Northbound {
 public:
  // All outlive it. Takes the level's event listener, and puts the rules that the store holds into force.
  Northbound(boost::asio::io_context& io, session::Level& level, const session::Listener& listener,
             store::Store& store);
  ~Northbound();
  Northbound(const Northbound&) = delete;
  Northbound& operator=(const Northbound&) = delete;

  // Both throw std::system_error that names the address. viewer_token: may GET, and nothing else; empty: nobody may.
  void listen_tcp(const std::string& address, std::string admin_token, std::string viewer_token = {});
  void listen_unix(const std::string& path);
  // Where members reach this controller: told with every join token.
  void members_connect_to(std::vector<std::string> addresses);
  // Of listen_tcp, for port 0.
  std::uint16_t port() const;
  // What GET /metrics tells; for series of who runs this controller.
  base::MetricsRegistry& metrics();
  // To be called often.
  void on_timer();
  void stop();

 private:
  struct Owner;
  std::shared_ptr<Owner> owner_;
};

}  // namespace qanat::northbound
