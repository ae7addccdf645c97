// ClientCertificates: boxes and programs that show a certificate at the TLS handshake in place of a key.
// Who is who comes from the configuration and the verified leaf's subjectAltName, never from its common name: anybody's
// CA may write that. Sans-I/O and not thread-safe.
#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hh"
#include "base/tls.hh"
#include "gateway/admit/accounts.hh"

namespace qanat::admit {

struct ClientRule {
  std::string identity;  // URI or dNSName, byte for byte: "qanat:node:17", "spiffe://lab.example/feeder"
  std::string tenant, project = "default";
  std::uint32_t max_calls = 0;  // in flight at once; 0: no limit. The two below: see rates.hh
  std::uint32_t max_calls_per_minute = 0;
  std::uint64_t max_tokens_per_minute = 0;
};

enum class CertificateError : std::uint8_t {
  Unknown,  // none of its names is configured
  Revoked,  //
  Expired,  // since the handshake, which refuses those that were before
};
std::string_view to_string(CertificateError error);  // "revoked"
std::string_view message_of(CertificateError error);

// A serial as `openssl x509 -serial` writes it: upper case, no colons; empty: not hexadecimal.
std::string canonical_serial(std::string_view text);

class ClientCertificates {
 public:
  static constexpr std::size_t kMaxKept = 4096;

  // `revoked`: canonical serials.
  ClientCertificates(std::vector<ClientRule> rules, std::set<std::string> revoked);

  // Whoever the certificate is configured for, URIs before DNS names; valid as long as this object. Its id is "cert-" and
  // 12 digits of a hash of the identity: the same at every gateway, and with the next certificate.
  boost::system::result<const KeyInfo*, CertificateError> verify(const base::PeerIdentity& peer,
                                                                 base::UnixSeconds now);

 private:
  base::UnixSeconds end_of(const base::PeerIdentity& peer);

  std::map<std::string, KeyInfo, std::less<>> clients_;  // by identity
  std::set<std::string> revoked_;
  std::map<base::Fingerprint, base::UnixSeconds> ends_;  // of certificates that were seen
};

}  // namespace qanat::admit
