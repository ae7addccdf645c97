// mac1, mac2 and cookies (wire.md §2): what a responder under load asks for before it spends an X25519 on a
// stranger.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/time.hh"
#include "dataplane/crypto/keys.hh"
#include "dataplane/packet/ip_address.hh"
#include "dataplane/packet/wire.hh"

namespace qanat::crypto {

using CookieDatagram = std::array<std::uint8_t, packet::kCookieReplyBytes>;
inline constexpr base::Duration kCookieLife = std::chrono::seconds(120);

enum class MacVerdict : std::uint8_t { Invalid, Mac1, Mac1AndMac2 };

// Whether a handshake carries a mac2, right or wrong: without one all that it can ask for is a cookie.
bool shows_cookie(Bytes datagram) noexcept;

// The receiving side: checks macs, and makes cookies under a secret that rotates every two minutes.
class CookieChecker {
 public:
  explicit CookieChecker(const PublicKey& self) noexcept;

  // Rotates to a new secret of 32 random bytes when the old one is past its life. Returns true when it did
  // (so that the caller draws randomness only when due).
  bool due(base::Time now) const noexcept { return !started_ || now - rotated_ >= kCookieLife; }
  void rotate(const SecretKey& random, base::Time now) noexcept;

  // `datagram` is a HandshakeInit or HandshakeResponse. mac2 is judged with the current cookie of `from`.
  MacVerdict check(Bytes datagram, const packet::UdpAddress& from) const noexcept;
  // The answer to `datagram` under load, `nonce` from 24 random bytes.
  CookieDatagram reply(Bytes datagram, const packet::UdpAddress& from,
                       const std::array<std::uint8_t, 24>& nonce) const noexcept;

 private:
  std::array<std::uint8_t, 16> cookie_for(const packet::UdpAddress& from) const noexcept;
  Digest mac1_key_;
  SecretKey cookie_key_;
  SecretKey secret_;
  base::Time rotated_{};
  bool started_ = false;
};

// The sending side, one per peer: puts macs on handshakes, and remembers the cookie that the peer asked for.
class MacMaker {
 public:
  explicit MacMaker(const PublicKey& peer) noexcept;

  // Fills the last 32 bytes of a handshake datagram.
  void sign(MutableBytes datagram, base::Time now) noexcept;
  // HandshakeUnexpected: no datagram of ours is waiting; HandshakeDecrypt: not an answer to our last one.
  packet::OrDrop<void> on_cookie(Bytes datagram, base::Time now) noexcept;

 private:
  Digest mac1_key_;
  SecretKey cookie_key_;
  std::optional<std::array<std::uint8_t, 16>> last_mac1_;
  std::array<std::uint8_t, 16> cookie_{};
  base::Time cookie_at_{};
  bool has_cookie_ = false;
};

}  // namespace qanat::crypto
