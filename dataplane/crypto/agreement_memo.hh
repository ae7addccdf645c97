// AgreementMemo: X25519 results by the two public keys, for a process that runs both ends of its handshakes.
// A simulation computes each agreement once instead of at both ends; the results are the same bytes. A daemon holds one
// end only, and has none: secrets stay no longer than they are used.
#pragma once

#include <cstddef>
#include <vector>

#include "dataplane/crypto/keys.hh"

namespace qanat::crypto {

// One thread. A newer agreement takes an older one's place.
class AgreementMemo {
 public:
  explicit AgreementMemo(std::size_t slots = 1u << 15) : entries_(slots) {}

  // From now on x25519() on this thread looks here first; null: no longer.
  static void use(AgreementMemo* memo) noexcept;
  static AgreementMemo* in_use() noexcept;

  // Null when unknown. The order of the two does not matter.
  const SecretKey* find(const PublicKey& a, const PublicKey& b) const noexcept;
  void keep(const PublicKey& a, const PublicKey& b, const SecretKey& shared) noexcept;

 private:
  struct Entry {
    PublicKey low, high;
    SecretKey shared;
  };
  std::size_t slot(const PublicKey& low, const PublicKey& high) const noexcept;
  std::vector<Entry> entries_;
};

}  // namespace qanat::crypto
