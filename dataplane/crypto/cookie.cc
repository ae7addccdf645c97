#include "dataplane/crypto/cookie.hh"

#include <algorithm>
#include <string_view>

#include "dataplane/crypto/blake2s.hh"
#include "dataplane/crypto/chacha20_poly1305.hh"
#include "dataplane/packet/byte_order.hh"

namespace qanat::crypto {
namespace {

constexpr std::size_t kMac = 16;
constexpr std::size_t kCookieNonce = 8;
constexpr std::size_t kCookieSealed = 32;

Digest labelled(std::string_view label, const PublicKey& key) noexcept {
  return blake2s({{reinterpret_cast<const std::uint8_t*>(label.data()), label.size()}, key.bytes});
}

std::array<std::uint8_t, kMac> mac(Bytes key, Bytes over) noexcept {
  std::array<std::uint8_t, kMac> out;
  blake2s_keyed(key, {over}, out);
  return out;
}

Bytes mac1_of(Bytes datagram) noexcept { return datagram.subspan(datagram.size() - 2 * kMac, kMac); }
Bytes mac2_of(Bytes datagram) noexcept { return datagram.last(kMac); }
Bytes before_mac1(Bytes datagram) noexcept { return datagram.first(datagram.size() - 2 * kMac); }
Bytes before_mac2(Bytes datagram) noexcept { return datagram.first(datagram.size() - kMac); }

}  // namespace

bool shows_cookie(Bytes datagram) noexcept {
  if (datagram.size() < 2 * kMac) return false;
  const Bytes mac2 = mac2_of(datagram);
  return std::any_of(mac2.begin(), mac2.end(), [](std::uint8_t b) { return b != 0; });
}

CookieChecker::CookieChecker(const PublicKey& self) noexcept
    : mac1_key_(labelled("mac1----", self)), cookie_key_(labelled("cookie--", self)) {}

void CookieChecker::rotate(const SecretKey& random, base::Time now) noexcept {
  secret_ = random;
  rotated_ = now;
  started_ = true;
}

std::array<std::uint8_t, 16> CookieChecker::cookie_for(const packet::UdpAddress& from) const noexcept {
  std::array<std::uint8_t, 19> source{};
  source[0] = static_cast<std::uint8_t>(from.address.family);
  from.address.to_bytes(source.data() + 1);
  packet::store_be16(source.data() + 17, from.port);
  return mac(secret_.view(), source);
}

MacVerdict CookieChecker::check(Bytes datagram, const packet::UdpAddress& from) const noexcept {
  if (datagram.size() < 2 * kMac ||
      !equal_constant_time(mac(mac1_key_, before_mac1(datagram)), mac1_of(datagram)))
    return MacVerdict::Invalid;
  if (!started_ || !shows_cookie(datagram)) return MacVerdict::Mac1;
  const bool proven = equal_constant_time(mac(cookie_for(from), before_mac2(datagram)), mac2_of(datagram));
  return proven ? MacVerdict::Mac1AndMac2 : MacVerdict::Mac1;
}

CookieDatagram CookieChecker::reply(Bytes datagram, const packet::UdpAddress& from,
                                    const std::array<std::uint8_t, 24>& nonce) const noexcept {
  CookieDatagram out{};
  out[0] = static_cast<std::uint8_t>(packet::DatagramType::CookieReply);
  std::copy_n(datagram.begin() + 4, 4, out.begin() + 4);  // their sender index is the reply's receiver index
  std::copy(nonce.begin(), nonce.end(), out.begin() + kCookieNonce);
  xchacha20_poly1305_seal(cookie_key_, nonce, mac1_of(datagram), cookie_for(from),
                          MutableBytes(out).subspan(kCookieSealed));
  return out;
}

MacMaker::MacMaker(const PublicKey& peer) noexcept
    : mac1_key_(labelled("mac1----", peer)), cookie_key_(labelled("cookie--", peer)) {}

void MacMaker::sign(MutableBytes datagram, base::Time now) noexcept {
  last_mac1_ = mac(mac1_key_, before_mac1(datagram));
  std::copy(last_mac1_->begin(), last_mac1_->end(), datagram.end() - 2 * kMac);
  std::array<std::uint8_t, kMac> mac2{};
  if (has_cookie_ && now - cookie_at_ < kCookieLife) mac2 = mac(cookie_, before_mac2(datagram));
  std::copy(mac2.begin(), mac2.end(), datagram.end() - kMac);
}

packet::OrDrop<void> MacMaker::on_cookie(Bytes datagram, base::Time now) noexcept {
  if (datagram.size() != packet::kCookieReplyBytes) return packet::DropReason::HandshakeMalformed;
  if (!last_mac1_) return packet::DropReason::HandshakeUnexpected;
  Nonce24 nonce;
  std::copy_n(datagram.begin() + kCookieNonce, nonce.size(), nonce.begin());
  std::array<std::uint8_t, 16> cookie;
  if (!xchacha20_poly1305_open(cookie_key_, nonce, *last_mac1_, datagram.subspan(kCookieSealed), cookie))
    return packet::DropReason::HandshakeDecrypt;
  cookie_ = cookie;
  cookie_at_ = now;
  has_cookie_ = true;
  last_mac1_.reset();
  return {};
}

}  // namespace qanat::crypto
