// Authority: a controller's own CA (Ed25519, X.509) and its configuration signing key.
// Made at first start, kept in the store; issues certificates to nodes (or domains) and signs bindings and configurations.
//
// Both are replaced together and without a stop, in three steps (who waits for whom: ca_rotation.hh):
//   Stable ── announce() ──> Announced   both CAs and both keys are believed, the old ones sign
//          ── switch_over() ──> Switched  the new ones sign; our own leaf is still the old CA's
//          ── retire() ──> Stable         the old ones' private keys are gone
// A step is on disk before anybody hears of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.hh"
#include "base/time.hh"
#include "base/tls.hh"
#include "identifiers/proto/config_state.hh"

namespace qanat::store {
class Store;
}
namespace qanat::proto::v1 {
class NodeRecord;
class Trust;
}  // namespace qanat::proto::v1

namespace qanat::session {

// What a certificate's one URI says: "qanat:node:17" or "qanat:domain:3". 0: none of that kind.
std::uint32_t member_of(const base::PeerIdentity& identity, std::string_view kind);

class Authority {
 public:
  enum class Phase : std::uint8_t { Stable, Announced, Switched };

  // Loads the keys, or makes them. Throws std::system_error or StoreError.
  Authority(store::Store& store, std::string_view name, base::UnixSeconds now);

  Phase phase() const { return phase_; }
  // Grows with every step: of what trust() says.
  std::uint64_t serial() const { return serial_; }
  // Every CA in force, first the one that signs.
  std::string ca_pem() const;
  // What a new member pins: the CA of our own leaf.
  const base::Fingerprint& fingerprint() const { return ca_.fingerprint; }
  // Of the one that signs.
  const base::Fingerprint& issuer() const { return signer().fingerprint; }
  proto::Ed25519Public ca_public() const { return proto::public_of(signer().key); }
  // Of every CA in force, 32 bytes each, first the one that signs.
  std::string ca_publics() const;
  base::UnixSeconds ca_expires() const { return signer().expires; }
  // For members: ca_pem() and config_publics(), vouched for by the CA that all of them believe.
  proto::v1::Trust trust() const;

  void announce(base::UnixSeconds now);
  void switch_over();
  void retire();

  // Of the key that signs configurations now.
  proto::Ed25519Public config_public() const { return proto::public_of(config_key()); }
  const proto::Ed25519Private& config_key() const {
    return phase_ == Phase::Switched && next_config_key_ ? *next_config_key_ : config_key_;
  }
  // Of every one in force, 32 bytes each, first the one that signs.
  std::string config_publics() const;

  // The controller's own leaf, made anew at each start: its chain includes the CA, for enrolling nodes to pin.
  base::TlsIdentity server_identity(std::string_view name, base::UnixSeconds now) const;

  // A certificate for the key of a PKCS #10 request (RFC 2986; DER): Ed25519, self-signature verified. What the request
  // asks for by way of names is ignored. It becomes good later than `after`, that of the member's last one, so that which is
  // the newer one can be told from them alone; of a clock that went back by a day, alike. base::Errc::BadCertificate when it
  // is not such a request.
  base::Result<std::string> issue(std::string_view csr_der, std::string_view common_name,
                                  std::string_view uri, base::UnixSeconds now,
                                  base::UnixSeconds after = 0) const;

  // NodeRecord.binding_signature.
  std::string bind(const proto::v1::NodeRecord& record) const;

 private:
  struct Ca {
    proto::Ed25519Private key{};
    std::string pem;
    base::Fingerprint fingerprint{};
    base::UnixSeconds expires = 0;
  };
  const Ca& signer() const { return phase_ == Phase::Switched ? *next_ : ca_; }
  Ca make_ca(const proto::Ed25519Private& key, base::UnixSeconds now) const;
  static Ca read_ca(const proto::Ed25519Private& key, std::string pem);

  store::Store& store_;
  std::string name_;
  Ca ca_;
  std::optional<Ca> next_;  // in Announced and Switched
  Phase phase_ = Phase::Stable;
  std::uint64_t serial_ = 0;
  proto::Ed25519Private config_key_{};
  std::optional<proto::Ed25519Private> next_config_key_;  // as next_
};

// For a domain that enrols with the global level: a fresh Ed25519 key (PKCS #8 PEM) and its request (DER).
std::string make_private_key();
std::string make_request(std::string_view private_key_pem, std::string_view common_name);

}  // namespace qanat::session
