// A real qanat-controller in a folder of its own, and a box that speaks to it over TLS on loopback.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/tls.hh"
#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/southbound.pb.h"

namespace qanat::e2e {

// The path of a program under test, from QANAT_BIN or beside the test's own.
std::string program(const std::string& name);

bool contains(const std::string& text, const std::string& part);
// Within 5 s.
bool soon(const std::function<bool()>& true_at_last);

struct Reply {
  int status = 0;
  std::string body;
};

class ControllerProcess {
 public:
  // Writes the configuration, starts it, waits until it answers. Throws std::runtime_error with its log.
  // domain 0: the global controller. state: "" for a file in its folder.
  explicit ControllerProcess(int domain = 7, const std::string& extra_config = "",
                             const std::string& state = "");
  ~ControllerProcess();  // SIGKILL and removal of the folder

  void start();
  void kill();      // SIGKILL
  int terminate();  // SIGTERM; the exit status
  Reply rest(const std::string& method, const std::string& target, const std::string& body = "") const;
  std::string join_token(const std::string& node, bool relay = false, int ttl_s = 3600) const;
  std::uint16_t port() const { return port_; }
  std::uint16_t northbound() const { return northbound_; }
  const std::string& folder() const { return folder_; }
  const std::string& admin_token() const { return admin_token_; }
  std::string log() const;

 private:
  std::string folder_;
  std::string admin_token_ = "an admin token for tests";
  std::uint16_t port_ = 0;
  std::uint16_t northbound_ = 0;
  pid_t pid_ = -1;
};

// A blocking TLS connection to 127.0.0.1. Reads give up after 8 s.
class Wire {
 public:
  Wire(std::uint16_t port, base::TlsContext tls);  // throws boost::system::system_error when TLS fails
  ~Wire();
  void send(const proto::v1::Envelope& envelope);
  void send_raw(std::string_view bytes);
  // nullopt: closed or silent.
  std::optional<proto::v1::Envelope> read();
  // Reads until a Refusal; its code, or "" when the connection ended without one.
  std::string refusal();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// A box: keys and certificate from its enrolment, and the configuration it holds.
struct TestBox {
  std::string name;
  std::string key_pem;
  proto::v1::EnrolReply enrolment;
  proto::v1::NodeConfig held;

  explicit TestBox(std::string called);
  proto::v1::EnrolRequest request(const std::string& token, bool relay = false) const;
  // Enrols over a pinned connection; the refusal's code, or "".
  std::string enrol(const ControllerProcess& controller, const std::string& token, bool relay = false);
  base::TlsContext tls() const;
  std::unique_ptr<Wire> connect(const ControllerProcess& controller) const;  // and says Hello
  proto::v1::Envelope hello() const;
  // Reads until a delta, verifies and applies it, acknowledges. False when none came.
  bool take_delta(Wire& wire);
};

}  // namespace qanat::e2e
