// One-time codes: the second factor of whoever signs in, as authenticator programs make them (RFC 4226, RFC 6238).
// Six digits, SHA-1, thirty seconds: what all of those programs take.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/time.hh"

namespace qanat::northbound {

inline constexpr std::uint64_t kCodeStep_s = 30;
inline constexpr std::uint64_t kCodeDrift =
    1;  // steps that a phone's clock may be off, either way (RFC 6238 §5.2)
inline constexpr std::size_t kSecretBytes = 20;  // RFC 4226 §4, R6

// RFC 4648 §6, upper case, without padding.
std::string to_base32(std::span<const std::uint8_t> bytes);
// Either case; spaces and padding are passed over. nullopt for anything else.
std::optional<std::string> from_base32(std::string_view text);

// RFC 4226 §5.3: six digits, leading zeros kept. `secret`: raw bytes.
std::string hotp(std::string_view secret, std::uint64_t counter);
// The step (RFC 6238 §4.2) at which `code` is right, within kCodeDrift of `now`, and later than `used`: each code is good
// once. nullopt: it is not.
std::optional<std::uint64_t> accepted_step(std::string_view secret, std::string_view code,
                                           base::UnixSeconds now, std::uint64_t used);
// "otpauth://totp/…", which authenticator programs read (as a link, or from a picture of it).
std::string otpauth_uri(std::string_view issuer, std::string_view account, std::string_view secret);

}  // namespace qanat::northbound
