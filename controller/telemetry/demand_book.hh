// DemandBook: what each node's tenants send to whom in which tier, as nodes report it, smoothed: up within seconds, down
// within a quarter of a minute, so that a pause is no end. Only pairs with traffic have a row.
#pragma once

#include <compare>
#include <cstdint>
#include <map>

#include "base/time.hh"
#include "identifiers/ids/node_id.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::telemetry {

struct DemandReport {
  std::uint64_t bps = 0;           // on the wire; 0: nothing worth telling
  std::uint32_t packet_bytes = 0;  // mean
  bool limited = false;            // more would have gone
};

class DemandBook {
 public:
  static constexpr base::Duration kUp = std::chrono::seconds(3);  // time constants
  static constexpr base::Duration kDown = std::chrono::seconds(15);
  static constexpr base::Duration kFresh =
      std::chrono::seconds(25);                        // nodes repeat what they said every 10 s
  static constexpr double kNothing = 250e3;            // bits/s: then the row goes
  static constexpr std::uint32_t kUsualPacket = 1000;  // bytes, until it was told

  struct Key {
    ids::NodeId from;
    ids::NodeId to;
    ids::Tier tier{};
    auto operator<=>(const Key&) const = default;
  };
  class Row {
   public:
    double bps(base::Time now) const;
    std::uint32_t packet_bytes() const { return packet_bytes_; }
    bool limited() const { return limited_; }

   private:
    friend class DemandBook;
    double then_ = 0;  // smoothed, at heard_
    double told_ = 0;
    base::Time heard_{};
    std::uint32_t packet_bytes_ = kUsualPacket;
    bool limited_ = false;
  };

  void on_report(const Key& key, const DemandReport& report, base::Time now);
  // Everything from and to a node that is gone.
  void forget(ids::NodeId node);
  // Drops what has ended, and what nobody repeated.
  void expire(base::Time now);

  bool empty() const { return rows_.empty(); }
  const std::map<Key, Row>& rows() const { return rows_; }

 private:
  std::map<Key, Row> rows_;
};

}  // namespace qanat::telemetry
