// MtuSearch: how large a datagram one path carries, found by padded probes (RFC 8899, datagram PLPMTUD), in one direction.
// Sizes are bytes of UDP payload, so that one number holds for a direct path and for a list, whose header is constant.
#pragma once

#include <array>
#include <cstdint>

#include "base/time.hh"

namespace qanat::path {

inline constexpr std::uint16_t kLeastDatagram = 1232;  // what IPv6's least MTU of 1280 carries (RFC 8200 §5)
inline constexpr std::uint16_t kLargestDatagram4 = 1472;  // over IPv4 and Ethernet's 1500
inline constexpr std::uint16_t kLargestDatagram6 = 1452;  // over IPv6
inline constexpr std::uint32_t kPaddedEvery = 5;  // liveness probes: small ones cannot see a black hole
inline constexpr base::Duration kPaddedSpacing =
    std::chrono::milliseconds{40};  // at least, but in doubt: fast probes would be a load
inline constexpr std::uint32_t kPaddedEveryInDoubt =
    2;  // once one was lost: never two in a row, liveness counts three
// Whatever the search does: a probe of this number is small.
constexpr bool never_padded(std::uint32_t sequence) {
  return sequence % kPaddedEvery != 1 && sequence % kPaddedEveryInDoubt != 1;
}
inline constexpr unsigned kLossesToNarrow = 3;   // RFC 8899's MAX_PROBES
inline constexpr std::uint16_t kSearchStep = 8;  // bytes; finer is not worth a probe
inline constexpr base::Duration kRaiseEvery = std::chrono::seconds{60};

// state      | the size asked passes             | it was lost three times                | too big, by a relay's word
// -----------+-----------------------------------+----------------------------------------+---------------------------
// Searching  | low = it; done → Settled          | high = it; done → Settled              | high = that
// Settled    | –; after kRaiseEvery → Searching  | → Searching below it, least at once    | the same
class MtuSearch {
 public:
  explicit MtuSearch(std::uint16_t largest = kLargestDatagram4) : largest_(largest), high_(largest + 1) {}

  // Datagrams of this size pass, as far as we know. Falls at once; rises when a search is over.
  std::uint16_t confirmed() const { return confirmed_; }
  // A search has ended: confirmed() is a finding, not a guess.
  bool settled() const { return settled_once_; }

  // The size that probe `sequence` is to have, 0: as small as it is. Call once per probe, in order.
  std::uint16_t on_send(std::uint32_t sequence, base::Time now);
  // A report: the newest padded probe, and the newest of all, that the far end heard. True when confirmed() changed.
  bool on_report(std::uint32_t padded, std::uint32_t newest, base::Time now);
  // An authenticated relay of the path cannot pass more than this. True when confirmed() changed.
  bool on_too_big(std::uint16_t size, base::Time now);
  // Padded probes above confirmed() that were lost: no loss of the path's.
  std::uint32_t expected_losses() const { return expected_losses_; }

 private:
  struct Sent {
    std::uint32_t sequence = 0;
    std::uint16_t size = 0;  // 0: judged
  };
  bool passed(std::uint16_t size, base::Time now);
  bool lost(std::uint16_t size, base::Time now);
  bool narrow(std::uint16_t size, base::Time now);
  bool settle_if_done(base::Time now);
  std::uint16_t target() const;

  std::uint16_t largest_;
  std::uint16_t confirmed_ = kLeastDatagram;
  std::uint16_t low_ = kLeastDatagram;  // passes, found by the search that runs
  std::uint16_t high_;                  // does not pass
  std::uint16_t hint_ = 0;              // a relay's word on what passes it: tried next
  bool searching_ = true;
  bool settled_once_ = false;
  bool tried_largest_ = false;
  unsigned losses_ = 0;            // of the size searched, in a row
  unsigned confirmed_losses_ = 0;  // of the confirmed size, in a row
  std::uint32_t expected_losses_ = 0;
  bool check_next_ = false;  // while searching, every other padded probe checks the confirmed size
  base::Time settled_at_{};
  base::Time padded_at_{};
  std::array<Sent, 16> ring_{};
  std::size_t next_ = 0;
};

}  // namespace qanat::path
