// TcpModel: one bulk TCP flow, sender and receiver, in virtual time, as Linux behaves: SACK, RACK, tail loss probes,
// delayed acks, Cubic with HyStart (RFC 9438, 9406) or BBR (version 1). Segments are counted, not carried: a simulation
// carries them over whatever it wants to try. `bench/grid/measure` holds it against the kernel's own.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>

#include "base/time.hh"

namespace qanat::grid {

struct TcpOptions {
  bool bbr = false;
  std::uint32_t segment_bytes = 1448;      // of payload
  std::uint64_t receive_window = 3 << 20;  // bytes: half of Linux's tcp_rmem maximum
};

// What travels back.
struct TcpAck {
  struct Sack {
    std::uint64_t first, last;  // both arrived; first > last: none
  };
  std::uint64_t next = 0;  // all before it arrived
  std::array<Sack, 3> sacks{};
};

class TcpReceiver {
 public:
  // True: an ack leaves now; else perhaps at next_timeout().
  bool on_segment(std::uint64_t number, base::Time now);
  bool on_timer(base::Time now);
  base::Time next_timeout() const { return ack_due_; }
  TcpAck ack();
  std::uint64_t next() const { return next_; }  // segments delivered, in order

 private:
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, std::uint64_t> beyond_;  // first → last
  std::uint64_t newest_first_ = 0;
  unsigned owed_ = 0;
  base::Time ack_due_ = base::Time::max();
};

class TcpSender {
 public:
  TcpSender(const TcpOptions& options, base::Time now);

  // The next segment that may leave now.
  std::optional<std::uint64_t> poll(base::Time now);
  void on_ack(const TcpAck& ack, base::Time now);
  void on_timer(base::Time now);
  base::Time next_timeout() const;

  double window() const { return window_; }  // segments
  std::uint64_t resent() const { return resent_; }
  std::uint64_t timeouts() const { return timeouts_; }

 private:
  struct Segment {
    base::Time sent{};
    base::Time delivered_at{}, first_sent{};
    std::uint64_t delivered = 0;
    bool sacked = false, lost = false, resent = false;
  };
  Segment& at(std::uint64_t number) { return segments_[number - first_]; }
  void take(std::uint64_t number, base::Time now);
  void detect_lost(base::Time now);
  void enter_recovery(base::Time now);
  void decrease();
  void cubic_ack(unsigned acked, base::Time now);
  void aim(unsigned acked, base::Time now);
  void hystart(base::Duration rtt, base::Time now);
  void bbr_ack(double rate, double acked, bool round, base::Time now);
  base::Duration rto() const;
  base::Time probe_due() const;
  bool defers(base::Time now);
  // The receiver takes no more, and nothing waits to be sent again.
  bool full() const {
    return lost_waiting_ == 0 && (next_ - first_) * options_.segment_bytes >= options_.receive_window;
  }

  TcpOptions options_;
  std::deque<Segment> segments_;  // first_ … next_ − 1
  std::uint64_t first_ = 0, next_ = 0;
  std::uint64_t out_ = 0;    // segments under way
  std::uint64_t chunk_ = 0;  // new segments that may still leave together
  base::Time last_sent_{};
  std::uint64_t lost_waiting_ = 0;
  std::uint64_t lost_hint_ = 0;  // nothing before it is lost and waiting
  double window_ = 10, threshold_ = 1e9;
  // RTT
  base::Duration srtt_{}, variation_{}, least_rtt_{};
  base::Time newest_sent_{};  // RACK: of what arrived
  base::Duration rack_rtt_{};
  std::uint64_t highest_sacked_ = 0;
  bool reordering_ = false;
  std::uint64_t sacked_ = 0;
  // recovery
  static constexpr std::uint64_t kNobody = ~std::uint64_t{0};
  bool recovering_ = false;
  bool in_loss_ = false;  // after a timeout
  std::uint64_t recovery_end_ = 0;
  std::uint64_t probe_ = kNobody;  // sent again by a tail loss probe
  base::Time timer_ = base::Time::max();
  base::Time rack_due_ = base::Time::max();
  unsigned backoff_ = 0;
  bool probed_ = false;
  // Cubic
  double max_ = 0, origin_ = 0, reno_ = 0, k_ = 0;
  double acks_to_grow_ = 2, acks_ = 0,
         grown_ = 0;          // acks that one more segment takes; since Reno's last; of the next
  double looked_window_ = 0;  // when the former was last computed
  base::Time looked_{};
  base::Time epoch_{};
  bool epoch_set_ = false;
  // HyStart
  std::uint64_t round_end_ = 0;
  base::Duration round_least_ = base::Duration::max();
  unsigned round_samples_ = 0;
  base::Time round_start_{}, last_ack_{};
  // BBR
  std::uint64_t delivered_ = 0;
  base::Time delivered_at_{}, first_sent_{};
  std::uint64_t bbr_round_end_ = 0;
  std::array<double, 10> rates_{};
  unsigned bbr_rounds_ = 0, full_rounds_ = 0, phase_ = 2;
  double full_rate_ = 0, gain_ = 2.89, rate_ = 0;
  int mode_ = 0;  // 0 startup, 1 drain, 2 probe bandwidth, 3 probe RTT
  base::Time phase_since_{}, least_at_{}, mode_since_{};
  double lump_ = 0, extra_ = 0, extra_before_ = 0;
  base::Time lump_since_{};
  base::Time pace_{};
  std::uint64_t resent_ = 0, timeouts_ = 0;
};

}  // namespace qanat::grid
