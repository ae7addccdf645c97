// OpenSSL plumbing of this room: owners for its handles, and what happens when a primitive that cannot fail does.
#pragma once

#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

namespace qanat::crypto::openssl {

struct Free {
  void operator()(EVP_MD_CTX* p) const noexcept { EVP_MD_CTX_free(p); }
  void operator()(EVP_MAC_CTX* p) const noexcept { EVP_MAC_CTX_free(p); }
  void operator()(EVP_CIPHER_CTX* p) const noexcept { EVP_CIPHER_CTX_free(p); }
  void operator()(EVP_PKEY* p) const noexcept { EVP_PKEY_free(p); }
  void operator()(EVP_PKEY_CTX* p) const noexcept { EVP_PKEY_CTX_free(p); }
};
template <class T>
using Handle = std::unique_ptr<T, Free>;

// A hash or cipher call on sound arguments fails only when the library is broken or memory is gone: never by input.
inline void require(bool done, const char* what) noexcept {
  if (done) return;
  std::fprintf(stderr, "OpenSSL: %s failed\n", what);
  std::abort();
}

}  // namespace qanat::crypto::openssl
