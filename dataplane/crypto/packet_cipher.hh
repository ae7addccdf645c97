// PacketCipher: the AEAD of one direction of one key pair, for packets: AES-256-GCM through intel-ipsec-mb
// where the CPU has AES instructions, through OpenSSL elsewhere; or ChaCha20-Poly1305 (RFC 8439).
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "dataplane/crypto/keys.hh"

namespace qanat::crypto {

// The handshake's suite byte (wire.md §2).
enum class Suite : std::uint8_t { Aes256Gcm = 0, ChaCha20Poly1305 = 1 };
std::string to_string(Suite suite);

// 96 bits as wire.md builds them: space or bucket (32) ‖ counter (64).
struct PacketNonce {
  std::uint32_t prefix = 0;
  std::uint64_t counter = 0;
};

enum class CipherEngine : std::uint8_t { Best, OpenSsl };  // OpenSsl: the fallback, forced (tests, bench)

// True when AES runs in hardware here: what an initiator proposes AES-256-GCM by.
bool aes_is_fast() noexcept;

// A cipher belongs to one thread at a time. Copying is not possible; make another from the same key.
class PacketCipher {
 public:
  PacketCipher(Suite suite, const SecretKey& key, CipherEngine engine = CipherEngine::Best);
  PacketCipher(PacketCipher&&) noexcept;
  PacketCipher& operator=(PacketCipher&&) noexcept;
  ~PacketCipher();

  Suite suite() const noexcept;
  // "ipsec-mb" or "openssl", for status.
  const char* engine() const noexcept;

  // Encrypts the concatenation of `pieces` to `out` (as many bytes) and writes 16 bytes of tag. A piece may
  // already lie at its place in `out`; otherwise pieces and `out` don't overlap.
  void seal(const PacketNonce& nonce, Bytes aad, std::span<const Bytes> pieces, std::uint8_t* out,
            std::uint8_t* tag) noexcept;
  void seal_in_place(const PacketNonce& nonce, Bytes aad, MutableBytes text, std::uint8_t* tag) noexcept;
  // Decrypts in place. False when the tag is wrong: `text` is then meaningless and must not be used.
  bool open_in_place(const PacketNonce& nonce, Bytes aad, MutableBytes text,
                     const std::uint8_t* tag) noexcept;

 private:
  class Impl;
  class IpsecMbGcm;
  class OpenSslAead;
  std::unique_ptr<Impl> impl_;
};

}  // namespace qanat::crypto
