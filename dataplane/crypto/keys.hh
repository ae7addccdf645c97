// Keys: public and secret key material. Secrets wipe themselves and are compared in constant time.
// Randomness never originates here: whoever needs a fresh key passes 32 random bytes in.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace qanat::crypto {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

inline constexpr std::size_t kKeyBytes = 32;
using Digest = std::array<std::uint8_t, 32>;

// True when equal; takes the same time wherever they differ. Different sizes: false.
bool equal_constant_time(Bytes a, Bytes b) noexcept;
void wipe(void* data, std::size_t size) noexcept;

// An X25519 public key.
struct PublicKey {
  std::array<std::uint8_t, kKeyBytes> bytes{};
  static std::optional<PublicKey> from_bytes(Bytes bytes) noexcept;  // exactly 32
  bool operator==(const PublicKey&) const noexcept = default;
  auto operator<=>(const PublicKey&) const noexcept = default;
};
std::string to_string(const PublicKey& key);  // lower-case hex, 64 digits

// 32 secret bytes: a private, shared, chaining or cipher key. Copies wipe themselves too.
class SecretKey {
 public:
  SecretKey() = default;
  explicit SecretKey(const std::array<std::uint8_t, kKeyBytes>& bytes) noexcept : bytes_(bytes) {}
  static std::optional<SecretKey> from_bytes(Bytes bytes) noexcept;  // exactly 32
  SecretKey(const SecretKey&) = default;
  SecretKey& operator=(const SecretKey&) = default;
  ~SecretKey() { wipe(bytes_.data(), bytes_.size()); }

  Bytes view() const noexcept { return bytes_; }
  const std::uint8_t* data() const noexcept { return bytes_.data(); }
  std::uint8_t* data() noexcept { return bytes_.data(); }
  bool operator==(const SecretKey& other) const noexcept { return equal_constant_time(bytes_, other.bytes_); }

 private:
  std::array<std::uint8_t, kKeyBytes> bytes_{};
};

// A node's static identity in handshakes, or an ephemeral pair.
struct KeyPair {
  SecretKey secret;
  PublicKey public_key;
  // Any 32 random bytes make a pair; X25519 clamps them (RFC 7748 §5).
  static KeyPair from_secret(const SecretKey& secret);
};

// X25519(own secret, public). Nothing when the result is all zero: a low-order point (RFC 7748 §6.1).
std::optional<SecretKey> x25519(const KeyPair& own, const PublicKey& public_key) noexcept;

}  // namespace qanat::crypto

template <>
struct std::hash<qanat::crypto::PublicKey> {
  std::size_t operator()(const qanat::crypto::PublicKey& key) const noexcept {
    return std::hash<std::string_view>{}({reinterpret_cast<const char*>(key.bytes.data()), key.bytes.size()});
  }
};
