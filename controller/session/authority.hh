// Authority: a controller's own CA (Ed25519, X.509) and its configuration signing key.
// Made at first start, kept in the store; issues certificates to nodes (or domains) and signs bindings and configurations.
#pragma once

#include <cstdint>
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
}

namespace qanat::session {

// What a certificate's one URI says: "qanat:node:17" or "qanat:domain:3". 0: none of that kind.
std::uint32_t member_of(const base::PeerIdentity& identity, std::string_view kind);

class Authority {
 public:
  // Loads the keys, or makes them. Throws std::system_error or DatabaseError.
  Authority(store::Store& store, std::string_view name, base::UnixSeconds now);

  const std::string& ca_pem() const { return ca_pem_; }
  const base::Fingerprint& fingerprint() const { return fingerprint_; }
  proto::Ed25519Public ca_public() const { return proto::public_of(ca_key_); }
  proto::Ed25519Public config_public() const { return proto::public_of(config_key_); }
  const proto::Ed25519Private& config_key() const { return config_key_; }

  // The controller's own leaf, made anew at each start: its chain includes the CA, for enrolling nodes to pin.
  base::TlsIdentity server_identity(std::string_view name, base::UnixSeconds now) const;

  // A certificate for the key of a PKCS #10 request (RFC 2986; DER): Ed25519, self-signature verified. What the request
  // asks for by way of names is ignored. base::Errc::BadCertificate when it is not such a request.
  base::Result<std::string> issue(std::string_view csr_der, std::string_view common_name,
                                  std::string_view uri, base::UnixSeconds now) const;

  // NodeRecord.binding_signature.
  std::string bind(const proto::v1::NodeRecord& record) const;

 private:
  proto::Ed25519Private ca_key_{};
  proto::Ed25519Private config_key_{};
  std::string ca_pem_;
  base::Fingerprint fingerprint_{};
};

// For a domain that enrols with the global level: a fresh Ed25519 key (PKCS #8 PEM) and its request (DER).
std::string make_private_key();
std::string make_request(std::string_view private_key_pem, std::string_view common_name);

}  // namespace qanat::session
