// Errc: the errors that base's own functions return in a Result.
// Errors of the system (sockets, files) keep their system category; these are the ones no errno names.
#pragma once

#include <boost/system/error_code.hpp>

namespace qanat::base {

enum class Errc {
  BadHex = 1,      // not pairs of hexadecimal digits
  BadBase64,       // not base64 (or base64url) of any bytes
  TooLarge,        // longer than the caller's limit
  BadUrl,          // an origin that is not http://, https:// or unix:
  BadResponse,     // the peer's HTTP is malformed
  Timeout,         // retryable
  Closed,          // the peer closed before its answer was complete; retryable
  Cancelled,       // our own side asked for it
  BadCertificate,  // PEM that holds no certificate or key, or a certificate that cannot be read
  UntrustedPeer,   // no certificate, or one that our CA does not vouch for; terminal
};

const boost::system::error_category& error_category() noexcept;
boost::system::error_code make_error_code(Errc e) noexcept;

}  // namespace qanat::base

template <>
struct boost::system::is_error_code_enum<qanat::base::Errc> : std::true_type {};
