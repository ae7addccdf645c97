// TLS 1.3 contexts under our own CA, and who the other side is.
// Identity is taken from the verified leaf only: never from what a peer says, never from another certificate
// it sent.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hh"

struct ssl_st;  // OpenSSL's SSL
namespace boost::asio::ssl {
class context;
}

namespace qanat::base {

using TlsContext = std::shared_ptr<boost::asio::ssl::context>;
using Fingerprint = std::array<std::uint8_t, 32>;  // SHA-256 of a certificate's DER

// PEM texts. `certificate_pem` is the leaf followed by the CA certificates that a peer needs (a server that
// enrols nodes sends its CA too, so that the pinned fingerprint can be found in its chain).
struct TlsIdentity {
  std::string certificate_pem;
  std::string private_key_pem;
};

enum class ClientCertificate : std::uint8_t {
  None,      // never asked for
  Optional,  // asked for; without one the peer has no identity; a bad one ends the handshake
  Required,
};

// All three throw std::system_error when the PEM is unusable. TLS 1.3 only.
// ca_pem: the CAs that clients' certificates must come from (may be empty with None).
TlsContext server_context(const TlsIdentity& identity, std::string_view ca_pem, ClientCertificate clients);
// Trusts exactly the given CAs. `own` is presented to servers that ask.
TlsContext client_context(std::string_view ca_pem, const std::optional<TlsIdentity>& own);
// For enrolment, before the CA is known: trusts only a server whose chain holds a CA certificate with this
// fingerprint and verifies under it.
TlsContext pinned_client_context(const Fingerprint& ca_fingerprint);

struct PeerIdentity {
  std::string common_name;
  std::vector<std::string> dns_names;  // subjectAltName dNSName
  std::vector<std::string> uris;       // subjectAltName URI
  Fingerprint fingerprint{};           // of the leaf
  std::string serial_hex;
  std::string certificate_pem;  // the leaf
};
// After the handshake. UntrustedPeer when the peer sent no certificate or it did not verify.
Result<PeerIdentity> peer_identity(ssl_st* ssl);
// The first certificate of a PEM text, without any check of who signed it.
Result<PeerIdentity> certificate_identity(std::string_view pem);
Result<Fingerprint> certificate_fingerprint(std::string_view pem);
// The CA certificate with this fingerprint out of the chain that a server showed on a pinned connection, as
// PEM.
Result<std::string> pinned_ca_pem(ssl_st* ssl, const Fingerprint& ca_fingerprint);

}  // namespace qanat::base
