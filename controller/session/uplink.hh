// Uplink: a domain controller's session with the global one: enrols once with a join token, then keeps a session up.
// The domain keeps everything it has while there is none.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hh"
#include "base/time.hh"
#include "identifiers/proto/southbound.pb.h"

namespace boost::asio {
class io_context;
}
namespace qanat::store {
class Store;
}

namespace qanat::session {

class Channel;

struct UplinkConfig {
  std::vector<std::string> addresses;  // tried in turn
  std::string join_token_file;         // read only until enrolled
  std::string name;
  std::uint32_t domain = 0;
  std::string ca_public;  // of our own CAs, 32 bytes each
  std::string software;   // name and version, told to the global controller
};

class Uplink {
 public:
  static constexpr base::Duration kConnectLimit = std::chrono::seconds(3);
  static constexpr base::Duration kSilence = std::chrono::seconds(4);
  static constexpr base::Duration kPingInterval = std::chrono::seconds(1);

  // `hello` gives the (epoch, version) of the directive held.
  struct Handlers {
    std::function<proto::v1::Hello()> hello;
    std::function<void()> up;
    std::function<void(const proto::v1::Envelope&)> envelope;
    std::function<void()> down;
  };

  Uplink(boost::asio::io_context& io, store::Store& store, UplinkConfig config, Handlers handlers);
  ~Uplink();
  void start();
  void stop();
  // Nothing happens while there is no session.
  void send(const proto::v1::Envelope& envelope);

 private:
  boost::asio::awaitable<void> run();
  boost::asio::awaitable<base::Result<void>> connect(const std::string& address);
  boost::asio::awaitable<base::Result<void>> enrol(const std::string& address);
  boost::asio::awaitable<base::Result<std::shared_ptr<Channel>>> open(const std::string& address,
                                                                      bool enrolling);
  void adopt(Channel& channel, const proto::v1::Trust& trust);
  void adopt(Channel& channel, const proto::v1::RenewReply& reply);
  void keep_certificate(Channel& channel);
  void acknowledge(Channel& channel, std::uint64_t serial, std::string error);

  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace qanat::session
