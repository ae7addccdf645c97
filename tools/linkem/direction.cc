#include "tools/linkem/direction.hh"

namespace qanat::linkem {

// The order of a real line: queue and transmitter, then the wire, on which packets are lost, doubled and
// delayed. So a lost packet has used its share of the rate.
struct Direction::Stages {
  explicit Stages(std::uint64_t seed)
      : loss(std::make_unique<Loss>(seed)),
        duplicate(std::make_unique<Duplicate>(seed ^ 0x9e3779b97f4a7c15)),
        queue(std::make_unique<RateQueue>()),
        delay(std::make_unique<Delay>(seed ^ 0xbf58476d1ce4e5b9)) {}
  std::unique_ptr<Loss> loss;
  std::unique_ptr<Duplicate> duplicate;
  std::unique_ptr<RateQueue> queue;
  std::unique_ptr<Delay> delay;

  static std::vector<std::unique_ptr<Impairment>> list(Stages& s) {
    std::vector<std::unique_ptr<Impairment>> out;
    out.push_back(std::move(s.queue));
    out.push_back(std::move(s.loss));
    out.push_back(std::move(s.duplicate));
    out.push_back(std::move(s.delay));
    return out;
  }
};

std::string_view to_string(DropReason reason) {
  switch (reason) {
    case DropReason::QueueFull: return "queue_full";
    case DropReason::Loss: return "loss";
    case DropReason::Down: return "down";
  }
  return "unknown";
}

Direction::Direction(const Spec& spec, std::uint64_t seed, base::Time now)
    : Direction(spec, Stages(seed), now) {}

Direction::Direction(const Spec& spec, Stages stages, base::Time now)
    : loss_(stages.loss.get()),
      duplicate_(stages.duplicate.get()),
      queue_(stages.queue.get()),
      delay_(stages.delay.get()),
      chain_(Stages::list(stages)) {
  configure(spec, now);
}

void Direction::push(std::vector<std::uint8_t> packet, base::Time now) {
  ++counters_.in_packets;
  counters_.in_bytes += packet.size();
  if (spec_.down) {
    ++counters_.dropped_packets[static_cast<std::size_t>(DropReason::Down)];
    counters_.dropped_bytes[static_cast<std::size_t>(DropReason::Down)] += packet.size();
    return;
  }
  chain_.push({std::move(packet), now}, now);
}

// Takes what left the chain by `now` under the settings that held then.
void Direction::collect(base::Time now) {
  while (auto packet = chain_.pop(now)) {
    if (spec_.down) {
      ++counters_.dropped_packets[static_cast<std::size_t>(DropReason::Down)];
      counters_.dropped_bytes[static_cast<std::size_t>(DropReason::Down)] += packet->bytes.size();
    } else {
      ++counters_.out_packets;
      counters_.out_bytes += packet->bytes.size();
      out_.push_back(std::move(*packet));
    }
  }
}

std::optional<Packet> Direction::pop(base::Time now) {
  collect(now);
  if (out_.empty()) return {};
  Packet packet = std::move(out_.front());
  out_.pop_front();
  return packet;
}

void Direction::configure(const Spec& spec, base::Time now) {
  collect(now);
  spec_ = spec;
  loss_->configure(spec.loss);
  duplicate_->configure(spec.duplicate);
  queue_->configure(spec.rate_bps, spec.limit_packets, spec.limit_bytes, now);
  delay_->configure(spec.delay, spec.jitter, spec.reorder);
}

Counters Direction::counters() const {
  Counters all = counters_;
  const auto set = [&all](DropReason reason, std::uint64_t packets, std::uint64_t bytes) {
    all.dropped_packets[static_cast<std::size_t>(reason)] = packets;
    all.dropped_bytes[static_cast<std::size_t>(reason)] = bytes;
  };
  set(DropReason::QueueFull, queue_->dropped_packets(), queue_->dropped_bytes());
  set(DropReason::Loss, loss_->dropped_packets(), loss_->dropped_bytes());
  all.duplicated = duplicate_->duplicated();
  all.reordered = delay_->reordered();
  return all;
}

}  // namespace qanat::linkem
