#include "dataplane/crypto/packet_cipher.hh"

#include <intel-ipsec-mb.h>

#include <cstring>

#include "dataplane/crypto/openssl.hh"
#include "dataplane/packet/byte_order.hh"

namespace qanat::crypto {

using openssl::Handle;
using openssl::require;

namespace {

constexpr std::size_t kTag = 16;
using Iv = std::array<std::uint8_t, 12>;

Iv iv_of(const PacketNonce& nonce) noexcept {
  Iv iv;
  packet::store_be32(iv.data(), nonce.prefix);
  packet::store_be64(iv.data() + 4, nonce.counter);
  return iv;
}

// The library picks its code by CPU once. Its direct GCM calls keep all state in the key and context that they are
// given, so that one manager, read only after this, serves every thread.
const IMB_MGR* ipsec_mb() noexcept {
  static const IMB_MGR* const manager = []() -> const IMB_MGR* {
    IMB_MGR* m = alloc_mb_mgr(0);
    if (m == nullptr) return nullptr;
    IMB_ARCH arch = IMB_ARCH_NONE;
    init_mb_mgr_auto(m, &arch);
    if (imb_get_errno(m) != 0 || (m->features & IMB_FEATURE_AESNI) == 0 || arch == IMB_ARCH_NOAESNI) {
      free_mb_mgr(m);
      return nullptr;
    }
    return m;
  }();
  return manager;
}

}  // namespace

std::string to_string(Suite suite) { return suite == Suite::Aes256Gcm ? "aes-256-gcm" : "chacha20-poly1305"; }

bool aes_is_fast() noexcept { return ipsec_mb() != nullptr; }

class PacketCipher::Impl {
 public:
  explicit Impl(Suite suite) noexcept : suite_(suite) {}
  virtual ~Impl() = default;
  virtual const char* engine() const noexcept = 0;
  virtual void seal(const Iv& iv, Bytes aad, std::span<const Bytes> pieces, std::uint8_t* out,
                    std::uint8_t* tag) noexcept = 0;
  virtual bool open(const Iv& iv, Bytes aad, MutableBytes text, const std::uint8_t* tag) noexcept = 0;
  Suite suite() const noexcept { return suite_; }

 private:
  Suite suite_;
};

class PacketCipher::IpsecMbGcm final : public Impl {
 public:
  explicit IpsecMbGcm(const SecretKey& key) noexcept : Impl(Suite::Aes256Gcm) {
    IMB_AES256_GCM_PRE(ipsec_mb(), key.data(), &key_);
  }
  ~IpsecMbGcm() override {
    wipe(&key_, sizeof key_);
    wipe(&context_, sizeof context_);
  }
  const char* engine() const noexcept override { return "ipsec-mb"; }

  void seal(const Iv& iv, Bytes aad, std::span<const Bytes> pieces, std::uint8_t* out,
            std::uint8_t* tag) noexcept override {
    const IMB_MGR* m = ipsec_mb();
    if (pieces.size() == 1) {
      IMB_AES256_GCM_ENC(m, &key_, &context_, out, pieces[0].data(), pieces[0].size(), iv.data(), aad.data(),
                         aad.size(), tag, kTag);
      return;
    }
    // Gathered, then sealed in one call: 187 ns for 66 + 1334 bytes where the library's piecewise calls take 217.
    std::size_t size = 0;
    for (const auto piece : pieces) {
      if (!piece.empty() && piece.data() != out + size) std::memcpy(out + size, piece.data(), piece.size());
      size += piece.size();
    }
    IMB_AES256_GCM_ENC(m, &key_, &context_, out, out, size, iv.data(), aad.data(), aad.size(), tag, kTag);
  }

  bool open(const Iv& iv, Bytes aad, MutableBytes text, const std::uint8_t* tag) noexcept override {
    std::array<std::uint8_t, kTag> computed;
    IMB_AES256_GCM_DEC(ipsec_mb(), &key_, &context_, text.data(), text.data(), text.size(), iv.data(),
                       aad.data(), aad.size(), computed.data(), kTag);
    return equal_constant_time(computed, {tag, kTag});
  }

 private:
  alignas(64) gcm_key_data key_;  // the library stores to it with aligned moves
  alignas(64) gcm_context_data context_;
};

class PacketCipher::OpenSslAead final : public Impl {
 public:
  OpenSslAead(Suite suite, const SecretKey& key) : Impl(suite) {
    const EVP_CIPHER* cipher = suite == Suite::Aes256Gcm ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
    seal_.reset(EVP_CIPHER_CTX_new());
    open_.reset(EVP_CIPHER_CTX_new());
    require(seal_ && EVP_EncryptInit_ex(seal_.get(), cipher, nullptr, key.data(), nullptr) == 1, "AEAD key");
    require(open_ && EVP_DecryptInit_ex(open_.get(), cipher, nullptr, key.data(), nullptr) == 1, "AEAD key");
  }
  const char* engine() const noexcept override { return "openssl"; }

  void seal(const Iv& iv, Bytes aad, std::span<const Bytes> pieces, std::uint8_t* out,
            std::uint8_t* tag) noexcept override {
    EVP_CIPHER_CTX* c = seal_.get();
    int n = 0;
    require(EVP_EncryptInit_ex(c, nullptr, nullptr, nullptr, iv.data()) == 1, "nonce");
    require(EVP_EncryptUpdate(c, nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1, "AAD");
    for (const auto piece : pieces) {
      if (piece.empty()) continue;
      require(EVP_EncryptUpdate(c, out, &n, piece.data(), static_cast<int>(piece.size())) == 1, "seal");
      out += n;
    }
    require(EVP_EncryptFinal_ex(c, out, &n) == 1, "seal");
    require(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_GET_TAG, kTag, tag) == 1, "tag");
  }

  bool open(const Iv& iv, Bytes aad, MutableBytes text, const std::uint8_t* tag) noexcept override {
    EVP_CIPHER_CTX* c = open_.get();
    int n = 0;
    std::array<std::uint8_t, kTag> wanted;
    std::memcpy(wanted.data(), tag, kTag);
    require(EVP_DecryptInit_ex(c, nullptr, nullptr, nullptr, iv.data()) == 1, "nonce");
    require(EVP_DecryptUpdate(c, nullptr, &n, aad.data(), static_cast<int>(aad.size())) == 1, "AAD");
    if (!text.empty())
      require(EVP_DecryptUpdate(c, text.data(), &n, text.data(), static_cast<int>(text.size())) == 1, "open");
    require(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_AEAD_SET_TAG, kTag, wanted.data()) == 1, "tag");
    return EVP_DecryptFinal_ex(c, wanted.data(), &n) == 1;
  }

 private:
  Handle<EVP_CIPHER_CTX> seal_;
  Handle<EVP_CIPHER_CTX> open_;
};

PacketCipher::PacketCipher(Suite suite, const SecretKey& key, CipherEngine engine) {
  if (suite == Suite::Aes256Gcm && engine == CipherEngine::Best && aes_is_fast())
    impl_ = std::make_unique<IpsecMbGcm>(key);
  else
    impl_ = std::make_unique<OpenSslAead>(suite, key);
}
PacketCipher::PacketCipher(PacketCipher&&) noexcept = default;
PacketCipher& PacketCipher::operator=(PacketCipher&&) noexcept = default;
PacketCipher::~PacketCipher() = default;

Suite PacketCipher::suite() const noexcept { return impl_->suite(); }
const char* PacketCipher::engine() const noexcept { return impl_->engine(); }

void PacketCipher::seal(const PacketNonce& nonce, Bytes aad, std::span<const Bytes> pieces, std::uint8_t* out,
                        std::uint8_t* tag) noexcept {
  impl_->seal(iv_of(nonce), aad, pieces, out, tag);
}

void PacketCipher::seal_in_place(const PacketNonce& nonce, Bytes aad, MutableBytes text,
                                 std::uint8_t* tag) noexcept {
  const Bytes piece = text;
  impl_->seal(iv_of(nonce), aad, {&piece, 1}, text.data(), tag);
}

bool PacketCipher::open_in_place(const PacketNonce& nonce, Bytes aad, MutableBytes text,
                                 const std::uint8_t* tag) noexcept {
  return impl_->open(iv_of(nonce), aad, text, tag);
}

}  // namespace qanat::crypto
