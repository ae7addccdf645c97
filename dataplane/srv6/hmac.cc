#include "dataplane/srv6/hmac.hh"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>

#include "dataplane/crypto/openssl.hh"
#include "dataplane/packet/byte_order.hh"

namespace qanat::srv6 {

HmacDigest hmac_of(const HmacKey& key, packet::Bytes packet, const Srh& srh) noexcept {
  std::array<std::uint8_t, kSidBytes + 2 + 4 + kMaxListSegments * kSidBytes> text;
  std::uint8_t* p = std::copy_n(packet.data() + 8, kSidBytes, text.data());
  *p++ = srh.last_entry;
  *p++ = srh.flags;
  packet::store_be32(p, key.id);
  p = std::copy_n(packet.data() + srh.entry_at(0), srh.entries() * kSidBytes, p + 4);
  HmacDigest digest{};
  unsigned bytes = 0;
  crypto::openssl::require(
      HMAC(EVP_sha256(), key.secret.data(), static_cast<int>(key.secret.size()), text.data(),
           static_cast<std::size_t>(p - text.data()), digest.data(), &bytes) != nullptr,
      "HMAC-SHA256");
  return digest;
}

std::uint32_t hmac_key_id(packet::Bytes packet, const Srh& srh) noexcept {
  return packet::load_be32(packet.data() + srh.hmac_at + 4);
}

bool hmac_reduced(packet::Bytes packet, const Srh& srh) noexcept {
  return (packet[srh.hmac_at + std::size_t{2}] & 0x80) != 0;
}

bool hmac_valid(const HmacKey& key, packet::Bytes packet, const Srh& srh) noexcept {
  if (!hmac_reduced(packet, srh)) {
    if (srh.segments_left > srh.last_entry) return false;
    if (std::memcmp(packet.data() + 24, packet.data() + srh.entry_at(srh.segments_left), kSidBytes) != 0)
      return false;
  }
  const HmacDigest digest = hmac_of(key, packet, srh);
  return CRYPTO_memcmp(digest.data(), packet.data() + srh.hmac_at + 8, digest.size()) == 0;
}

void write_hmac(const HmacKey& key, packet::MutableBytes packet, const Srh& srh, bool reduced) noexcept {
  std::uint8_t* p = packet.data() + srh.hmac_at;
  p[0] = 5;
  p[1] = static_cast<std::uint8_t>(kHmacTlvBytes - 2);
  p[2] = reduced ? 0x80 : 0;
  p[3] = 0;
  packet::store_be32(p + 4, key.id);
  const HmacDigest digest = hmac_of(key, packet, srh);
  std::copy(digest.begin(), digest.end(), p + 8);
}

}  // namespace qanat::srv6
