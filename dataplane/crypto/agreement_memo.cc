#include "dataplane/crypto/agreement_memo.hh"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace qanat::crypto {
namespace {

AgreementMemo*& memo_of_thread() noexcept {
  thread_local AgreementMemo* memo = nullptr;
  return memo;
}

}  // namespace

void AgreementMemo::use(AgreementMemo* memo) noexcept { memo_of_thread() = memo; }
AgreementMemo* AgreementMemo::in_use() noexcept { return memo_of_thread(); }

// Public keys are as good as random already.
std::size_t AgreementMemo::slot(const PublicKey& low, const PublicKey& high) const noexcept {
  std::uint64_t a = 0, b = 0;
  std::memcpy(&a, low.bytes.data(), sizeof a);
  std::memcpy(&b, high.bytes.data(), sizeof b);
  return (a ^ b * 0x9e3779b97f4a7c15ULL) % entries_.size();
}

const SecretKey* AgreementMemo::find(const PublicKey& a, const PublicKey& b) const noexcept {
  const auto [low, high] = std::minmax(a, b);
  const Entry& entry = entries_[slot(low, high)];
  return entry.low == low && entry.high == high && !(low == high) ? &entry.shared : nullptr;
}

void AgreementMemo::keep(const PublicKey& a, const PublicKey& b, const SecretKey& shared) noexcept {
  const auto [low, high] = std::minmax(a, b);
  entries_[slot(low, high)] = {low, high, shared};
}

}  // namespace qanat::crypto
