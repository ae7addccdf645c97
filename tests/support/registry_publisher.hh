// RegistryPublisher: whoever signs a registry's listing of pools, with a key of its own.
#pragma once

#include <openssl/evp.h>

#include <nlohmann/json.hpp>
#include <string>

#include "base/hex.hh"
#include "base/openssl_handle.hh"

namespace qanat::support {

class RegistryPublisher {
 public:
  RegistryPublisher() : key_(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")) {}
  // Base64, as a gateway's configuration has it.
  std::string public_key() const {
    std::uint8_t raw[32];
    std::size_t size = sizeof raw;
    EVP_PKEY_get_raw_public_key(key_.get(), raw, &size);
    return base::to_base64(raw);
  }
  // What a registry's URL serves: the signature in base64, a line feed, the listing.
  std::string sign(const nlohmann::json& listing) const {
    const std::string text = listing.dump();
    EVP_MD_CTX* context = EVP_MD_CTX_new();
    EVP_DigestSignInit(context, nullptr, nullptr, nullptr, key_.get());
    std::uint8_t signature[64];
    std::size_t size = sizeof signature;
    EVP_DigestSign(context, signature, &size, reinterpret_cast<const unsigned char*>(text.data()),
                   text.size());
    EVP_MD_CTX_free(context);
    return base::to_base64(signature) + "\n" + text;
  }

 private:
  base::KeyPtr key_;
};

}  // namespace qanat::support
