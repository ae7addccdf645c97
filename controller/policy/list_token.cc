#include "controller/policy/list_token.hh"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace qanat::policy {
namespace {

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(value >> shift & 0xff));
}

std::string token_input(const TokenRequest& r) {
  std::string out = "qanat-token-v1";
  append_big_endian(out, r.relay.value, 4);
  append_big_endian(out, r.headend.value, 4);
  append_big_endian(out, static_cast<std::uint8_t>(r.tier), 1);
  append_big_endian(out, r.expires_unix_s, 4);
  append_big_endian(out, r.epoch, 1);
  append_big_endian(out, r.segments.size(), 1);
  for (const std::uint32_t sid : r.segments) append_big_endian(out, sid, 4);
  return out;
}

[[noreturn]] void blake2s_missing() {
  std::fputs("OpenSSL has no keyed BLAKE2s (BLAKE2SMAC)\n", stderr);
  std::abort();
}

}  // namespace

std::uint64_t mint(const RelaySecret& key, const TokenRequest& request) {
  // Fetched once: fetching costs more than the MAC itself.
  static EVP_MAC* const kMac = EVP_MAC_fetch(nullptr, "BLAKE2SMAC", nullptr);
  if (kMac == nullptr) blake2s_missing();
  const std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)> context(EVP_MAC_CTX_new(kMac),
                                                                          EVP_MAC_CTX_free);
  std::array<std::uint8_t, 32> mac{};
  std::size_t size = mac.size();
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size),
                                   OSSL_PARAM_construct_end()};
  const std::string input = token_input(request);
  std::size_t written = 0;
  if (!context || EVP_MAC_init(context.get(), key.data(), key.size(), parameters) != 1 ||
      EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(input.data()), input.size()) !=
          1 ||
      EVP_MAC_final(context.get(), mac.data(), &written, mac.size()) != 1 || written != mac.size()) {
    blake2s_missing();
  }
  std::uint64_t token = 0;
  for (int i = 0; i < 8; ++i) token = token << 8 | mac[static_cast<std::size_t>(i)];
  return token;
}

}  // namespace qanat::policy
