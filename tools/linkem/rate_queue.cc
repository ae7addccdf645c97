#include "tools/linkem/rate_queue.hh"

#include <algorithm>

#include "tools/linkem/capacity_trace.hh"

namespace qanat::linkem {
namespace {

__extension__ using Wide = unsigned __int128;
constexpr std::uint64_t kNsPerSecond = 1'000'000'000;

}  // namespace

void RateQueue::configure(const Spec& spec, base::Time now) {
  limit_packets_ = spec.limit_packets;
  limit_bytes_ = spec.limit_bytes;
  limit_time_ = spec.limit_time;
  discipline_ = spec.queue;
  codel_.configure(spec.queue.target, spec.queue.interval);
  pie_.configure(spec.queue.target);
  if (spec.trace != trace_name_ || (spec.trace_data != nullptr) != (trace_ != nullptr)) {
    trace_name_ = spec.trace;
    trace_ = spec.trace_data;
    trace_start_ = now;
    opportunity_ = opportunity_left_ = 0;
    rate_bps_ = spec.rate_bps;
    carry_ = 0;
    if (sending_.frame) time_departure(now);
  } else if (!trace_ && spec.rate_bps != rate_bps_) {
    if (sending_.frame && done_ > now) {
      const auto left_ns = static_cast<std::uint64_t>((done_ - now).count());
      const Wide bit_ns = Wide{left_ns} * rate_bps_;
      done_ = now + base::Duration(spec.rate_bps ? static_cast<std::int64_t>(bit_ns / spec.rate_bps) : 0);
    }
    carry_ = 0;
    rate_bps_ = spec.rate_bps;
  }
  mean_bps_ = trace_ ? trace_->mean_bps() : static_cast<double>(rate_bps_);
}

// When sending_, begun at `at`, will have left.
void RateQueue::time_departure(base::Time at) {
  const std::uint32_t size = sending_.segment_bytes(0);
  if (trace_) {
    // An opportunity carries 1,500 bytes: several small packets, or a part of one; a packet leaves with the
    // opportunity that takes its last byte. One that passed while the queue was empty is lost.
    if (done_ < at) {
      opportunity_ = std::max(opportunity_, trace_->first_after(at - trace_start_));
      opportunity_left_ = 0;
    }
    std::uint32_t left = size;
    while (opportunity_left_ < left) {
      left -= opportunity_left_;
      opportunity_left_ = CapacityTrace::kBytes;
      done_ = trace_start_ + trace_->time_of(opportunity_++);
    }
    opportunity_left_ -= left;
    done_ = std::max(done_, at);
    return;
  }
  if (rate_bps_ == 0) {
    done_ = at;
    return;
  }
  const Wide bit_ns = Wide{size} * 8 * kNsPerSecond + carry_;
  done_ = at + base::Duration(static_cast<std::int64_t>(bit_ns / rate_bps_));
  carry_ = static_cast<std::uint64_t>(bit_ns % rate_bps_);
}

base::Duration RateQueue::backlog_time(std::uint64_t bytes) const {
  if (mean_bps_ == 0) return {};
  return base::Duration(static_cast<std::int64_t>(static_cast<double>(bytes) * 8e9 / mean_bps_));
}

bool RateQueue::fits(std::uint32_t bytes) const {
  if (limit_packets_ && queued_packets_ >= limit_packets_) return false;
  if (limit_bytes_ && queued_bytes_ + bytes > limit_bytes_) return false;
  // The packet that the transmitter holds has no queue to wait in.
  return limit_time_.count() == 0 || !sending_.frame || backlog_time(queued_bytes_ + bytes) <= limit_time_;
}

// Judges one segment that arrives.
bool RateQueue::admits(std::uint64_t number, std::uint32_t bytes, bool ecn_capable, bool& mark,
                       DropReason& why, base::Time now) {
  if (discipline_.kind != QueueDiscipline::Kind::DropHead && !fits(bytes)) {
    why = DropReason::QueueFull;
    return false;
  }
  if (discipline_.kind == QueueDiscipline::Kind::Pie &&
      pie_.drops(number, backlog_time(queued_bytes_), queued_bytes_, now)) {
    // A tenth is where RFC 8033 §5.1 stops marking and drops whatever the packet can do.
    mark = discipline_.ecn && ecn_capable && pie_.probability() <= 0.1;
    if (!mark) {
      why = DropReason::Aqm;
      return false;
    }
  }
  return true;
}

void RateQueue::push(Packet packet, base::Time now, Outlet& out) {
  struct Verdict {
    bool in = true, mark = false;
    DropReason why = DropReason::QueueFull;
    bool operator==(const Verdict&) const = default;
  };
  const bool capable = packet.ecn_capable();  // before it is moved away
  const FrameRef frame = packet.frame;
  const std::uint16_t begin = packet.first;
  cut_where(
      std::move(packet),
      [&](std::uint64_t number, std::uint16_t i) {
        Verdict verdict;
        Packet one;
        one.frame = frame, one.first = static_cast<std::uint16_t>(begin + i);
        const std::uint32_t bytes = one.segment_bytes(0);
        verdict.in = admits(number, bytes, capable, verdict.mark, verdict.why, now);
        if (verdict.in) ++queued_packets_, queued_bytes_ += bytes;
        return verdict;
      },
      [&](Packet part, const Verdict& verdict) {
        if (!verdict.in) {
          out.drop(part, verdict.why, now);
          return;
        }
        if (verdict.mark) part.congested = true, marked_ += part.count;
        waiting_.push_back(std::move(part));
      });
  if (discipline_.kind == QueueDiscipline::Kind::DropHead) drop_head(out, now);
  if (!sending_.frame) {
    if (now > done_) carry_ = 0;  // the transmitter stood idle
    start_next(now, out);
  }
}

// Makes room by dropping what has waited longest; what is being sent goes on, and one packet always fits.
void RateQueue::drop_head(Outlet& out, base::Time now) {
  const std::size_t sent = sending_.frame ? 1 : 0;
  while (queued_packets_ > sent + 1 && ((limit_packets_ && queued_packets_ > limit_packets_) ||
                                        (limit_bytes_ && queued_bytes_ > limit_bytes_) ||
                                        (limit_time_.count() && backlog_time(queued_bytes_) > limit_time_))) {
    const Packet head = take_head();
    --queued_packets_;
    queued_bytes_ -= head.segment_bytes(0);
    out.drop(head, DropReason::QueueFull, now);
  }
}

// The first segment that waits, out of waiting_; it still counts as queued.
Packet RateQueue::take_head() {
  Packet& run = waiting_.front();
  if (run.count == 1) return waiting_.pop_front();
  Packet one = run.part(taken_, 1);
  if (++taken_ == run.count) {
    taken_ = 0;
    waiting_.pop_front();
  }
  return one;
}

void RateQueue::start_next(base::Time at, Outlet& out) {
  while (!waiting_.empty()) {
    Packet head = take_head();
    const std::uint32_t bytes = head.segment_bytes(0);
    if (discipline_.kind == QueueDiscipline::Kind::CoDel &&
        codel_.drops(at - head.at, queued_bytes_ - bytes, at)) {
      if (!discipline_.ecn || !head.ecn_capable()) {
        --queued_packets_;
        queued_bytes_ -= bytes;
        out.drop(head, DropReason::Aqm, at);
        continue;
      }
      head.congested = true;
      ++marked_;
    }
    sending_ = std::move(head);
    time_departure(at);
    return;
  }
}

void RateQueue::on_timer(base::Time now, Outlet& out) {
  while (sending_.frame && done_ <= now) {
    Packet packet = std::move(sending_);
    const base::Time left = done_;
    sending_ = {};
    --queued_packets_;
    queued_bytes_ -= packet.segment_bytes(0);
    start_next(left, out);
    out.forward(std::move(packet), left);
  }
}

}  // namespace qanat::linkem
