// NodeKeys: who this box is, and whom it believes: its certificate, its static key, its domain's CAs. Each may be replaced
// while the box works: a new key is on disk before anybody hears of it, and the old one answers until nobody asks.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.hh"
#include "base/time.hh"
#include "dataplane/agent/agent_machine.hh"
#include "dataplane/agent/state_store.hh"

namespace qanat::base {
struct TlsIdentity;
}

namespace qanat::agent {

// Everything that writes throws std::system_error naming the file; nothing has changed then.
class NodeKeys {
 public:
  // Makes the keys at first start. Throws when what is stored cannot be trusted.
  NodeKeys(StateStore& store, std::string name);

  const std::optional<Enrolment>& enrolment() const { return enrolment_; }
  const crypto::KeyPair& static_keys() const { return static_; }
  const crypto::KeyPair* previous_static_keys() const { return previous_ ? &*previous_ : nullptr; }
  const std::string& ca_pem() const;
  base::TlsIdentity tls_identity() const;
  base::Result<std::string> certificate_request() const;  // DER

  // Enrolled: stored and in force, if the CA that the join token names is among its CAs; else nothing and why.
  std::optional<Enrolment> adopt(const proto::v1::EnrolReply& reply,
                                 const std::array<std::uint8_t, 32>& pinned, std::string& why);
  // Nothing, and no `why`: known already.
  std::optional<Enrolment> adopt(const proto::v1::Trust& trust, std::string& why);
  // Why the certificate was not taken; empty: it is in use from the next connection on.
  std::string adopt(const proto::v1::RenewReply& reply);
  // What we hold: after each of the last two.
  proto::v1::TrustAck acknowledgement() const;

  // What to ask the controller for now, if anything: a certificate that the signing CA has not made or that is near its
  // end; a static key that is to be bound, or older than `rotate_days` (0: any age is fine).
  std::optional<proto::v1::RenewRequest> renewal(base::UnixSeconds now, unsigned rotate_days);
  // A next static key, unless one is on its way.
  void rotate_static();
  // A configuration that binds our next static key: it is the one in use from now on. True when that is so.
  bool promote(const proto::v1::NodeConfig& config);

 private:
  std::optional<Enrolment> check(const proto::v1::EnrolReply& reply, std::string& why) const;

  StateStore& store_;
  std::string name_;
  std::string identity_;
  crypto::KeyPair static_;
  std::optional<crypto::KeyPair> next_;
  std::optional<crypto::KeyPair> previous_;
  std::unique_ptr<proto::v1::EnrolReply> reply_;  // as enrolled, with certificate and CAs as they are now
  std::optional<Enrolment> enrolment_;
};

}  // namespace qanat::agent
