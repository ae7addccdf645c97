// Protection: the repairs that one peer's streams are given, and what was lost of them and may yet be rebuilt at the far
// end: it is sent again only if it was not (packet/mended.hh). Bundle's part; FecControl decides whether and how much.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "base/time.hh"
#include "dataplane/packet/mended.hh"
#include "dataplane/path/fec_control.hh"
#include "dataplane/path/fec_encoder.hh"
#include "dataplane/path/pipe.hh"

namespace qanat::path {

// One thread.
class Protection {
 public:
  static constexpr std::size_t kMostStreams =
      32;  // 192 KiB each; past that the longest idle goes unprotected
  // How long a lost one waits for a repair to do its work: about the time of a window's first repairs at 5 Mbit/s, and of
  // the report.
  static constexpr base::Duration kGrace = std::chrono::milliseconds{16};

  struct Repair {
    ids::Tier tier{};
    std::uint8_t bucket = 0;
    packet::Bytes body;  // what follows the inner header; valid until the next call
  };

  // By tier: how late what was mended may be beside what was not lost; 0: never protected.
  explicit Protection(const base::Duration (&budgets)[ids::kTierCount]);

  void measure(const LossPattern& pattern, base::Time now);
  bool on(ids::Tier tier) const { return controls_[static_cast<std::size_t>(tier)].plan().on(); }

  // A packet as it is first sealed: its inner header and what follows.
  void on_packet(ids::Tier tier, std::uint8_t bucket, packet::Bytes plain, base::Time now);
  bool due() const { return due_; }
  std::optional<Repair> poll_repair();

  // A lost one with a copy: true when it is kept here for a while, or mended and released.
  bool on_lost(const Kept& kept, PacketSlab& slab, base::Time now);
  void on_mended(ids::Tier tier, const packet::Mended& mended, PacketSlab& slab);
  // Lost ones that nothing mended in time.
  std::optional<Kept> poll_overdue(base::Time now);
  void release_all(PacketSlab& slab);

  void on_timer(base::Time now);
  base::Time next_timeout() const;
  std::size_t waiting() const { return waiting_.size(); }
  std::uint64_t repairs() const { return repairs_; }
  std::uint64_t mended() const { return mended_count_; }  // lost ones that need not go again

 private:
  struct Stream {
    ids::Tier tier{};
    std::uint8_t bucket = 0;
    FecEncoder encoder;
    std::optional<packet::Mended> mended;  // the last report
  };
  struct Waiting {
    Kept kept;
    std::uint64_t sequence = 0;
    base::Time until;
  };
  Stream* find(ids::Tier tier, std::uint8_t bucket);

  std::vector<FecControl> controls_;  // by tier
  std::vector<std::unique_ptr<Stream>> streams_;
  std::deque<Waiting> waiting_;
  bool due_ = false;
  std::size_t turn_ = 0;
  std::uint64_t repairs_ = 0, mended_count_ = 0;
};

}  // namespace qanat::path
