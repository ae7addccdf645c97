#include "gateway/meter/signing_key.hh"

#include <openssl/evp.h>
#include <openssl/pem.h>

#include <system_error>
#include <vector>

#include "base/file.hh"
#include "base/hex.hh"

namespace qanat::meter {
namespace {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
struct FreeBio {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using Context = std::unique_ptr<EVP_MD_CTX, FreeContext>;
using Bio = std::unique_ptr<BIO, FreeBio>;

const unsigned char* bytes(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

}  // namespace

struct SigningKey::State {
  Key key;
};

SigningKey::SigningKey(std::unique_ptr<State> state) : state_(std::move(state)) {}
SigningKey::SigningKey(SigningKey&&) noexcept = default;
SigningKey::~SigningKey() = default;

SigningKey SigningKey::load_or_create(const std::string& path) {
  std::string pem;
  try {
    pem = base::read_file(path, 64 * 1024);
  } catch (const std::system_error& error) {
    if (error.code() != std::errc::no_such_file_or_directory) throw;
  }
  auto state = std::make_unique<State>();
  if (pem.empty()) {
    state->key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    const Bio bio(BIO_new(BIO_s_mem()));
    if (!state->key || PEM_write_bio_PKCS8PrivateKey(bio.get(), state->key.get(), nullptr, nullptr, 0,
                                                     nullptr, nullptr) != 1)
      throw std::system_error(std::make_error_code(std::errc::io_error), "make a signing key for " + path);
    char* data = nullptr;
    const long size = BIO_get_mem_data(bio.get(), &data);
    base::write_file(path, std::string_view(data, static_cast<std::size_t>(size)), 0600);
  } else {
    const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    state->key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, nullptr));
    if (!state->key || EVP_PKEY_get_base_id(state->key.get()) != EVP_PKEY_ED25519)
      throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                              path + " holds no Ed25519 key");
  }
  return SigningKey(std::move(state));
}

std::string SigningKey::sign(std::string_view text) const {
  const Context context(EVP_MD_CTX_new());
  std::vector<std::uint8_t> signature(64);
  std::size_t size = signature.size();
  if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, state_->key.get()) != 1 ||
      EVP_DigestSign(context.get(), signature.data(), &size, bytes(text), text.size()) != 1)
    throw std::system_error(std::make_error_code(std::errc::io_error), "sign with an Ed25519 key");
  return base::to_base64(signature);
}

std::string SigningKey::public_key() const {
  std::vector<std::uint8_t> raw(32);
  std::size_t size = raw.size();
  if (EVP_PKEY_get_raw_public_key(state_->key.get(), raw.data(), &size) != 1)
    throw std::system_error(std::make_error_code(std::errc::io_error), "read an Ed25519 key's public part");
  return base::to_base64(raw);
}

bool verify(std::string_view text, std::string_view signature, std::string_view public_key) noexcept {
  const auto raw_key = base::from_base64(public_key);
  const auto raw_signature = base::from_base64(signature);
  if (!raw_key || !raw_signature || raw_key->size() != 32 || raw_signature->size() != 64) return false;
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, raw_key->data(), raw_key->size()));
  const Context context(EVP_MD_CTX_new());
  return key && context && EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
         EVP_DigestVerify(context.get(), raw_signature->data(), raw_signature->size(), bytes(text),
                          text.size()) == 1;
}

}  // namespace qanat::meter
