#include "bench/grid/world.hh"

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <stdexcept>

#include "dataplane/packet/inner_header.hh"
#include "dataplane/path/ack_tracker.hh"
#include "dataplane/path/eliminator.hh"
#include "dataplane/path/fec_decoder.hh"
#include "dataplane/path/resequencer.hh"
#include "dataplane/qos/codel.hh"
#include "tools/linkem/direction.hh"

namespace qanat::grid {
namespace {

using namespace std::chrono_literals;
using base::Duration;
using base::Time;

constexpr Time kStart{1000s};
constexpr path::StreamId kStream{ids::NodeId{1}, ids::Tier::Bulk, 0};
constexpr std::size_t kReportBytes = packet::Mended::kBytes + 64 + 28;

enum class Kind : std::uint8_t { Segment, TcpAck, Tunnelled, PathAck, Urgent, Repair, Mended };

// What stands at the front of every simulated packet; the rest is filler of the right length.
struct Card {
  Kind kind{};
  std::uint8_t flow = 0;
  std::uint8_t pipe = 0;
  std::uint8_t hold = 0;
  std::uint64_t counter = 0;   // Tunnelled: of the pipe's space
  std::uint64_t sequence = 0;  // Tunnelled: of the stream
  std::uint64_t number = 0;    // the TCP segment
  std::int64_t sent_ns = 0;
  qanat::grid::TcpAck ack;
};

// What a tunnelled packet is to the transport: an inner header, and the card that it was first sealed with.
using Plain = std::array<std::uint8_t, packet::InnerHeader::kBytes + sizeof(Card)>;
Plain plain_of(const Card& card) {
  Plain plain{};
  packet::InnerHeader inner;
  inner.tier = ids::Tier::Bulk;
  inner.copied = true;
  inner.hold = card.hold;
  inner.sequence = card.sequence;
  inner.serialize(plain);
  Card own = card;  // pipe and counter are the datagram's
  own.pipe = 0;
  own.counter = 0;
  std::memcpy(plain.data() + packet::InnerHeader::kBytes, &own, sizeof(Card));
  return plain;
}
Card card_in(std::span<const std::uint8_t> plain) {
  Card card;
  std::memcpy(&card, plain.data() + packet::InnerHeader::kBytes, sizeof card);
  return card;
}

struct Queued {
  std::uint8_t flow = 0;
  std::uint64_t number = 0;
  Time at;
};

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

class World {
 public:
  explicit World(const Scenario& s)
      : s_(s), bundle_(s.bundle, kStart), codel_({s.codel_target, s.codel_interval}) {
    for (std::size_t i = 0; i < s.links.size(); ++i) {
      forward_.push_back(link(s.links[i].forward, 2 * i));
      reverse_.push_back(link(s.links[i].reverse, 2 * i + 1));
    }
    for (std::size_t i = 0; i < s.pipes.size(); ++i) {
      path::Pipe::Options options;
      const auto& f = forward_[s.pipes[i]]->spec();
      const auto& r = reverse_[s.pipes[i]]->spec();
      options.congestion.initial_rtt = f.delay + r.delay + 1ms;  // the prober knows it
      options.congestion.initial_loss = s.known_loss;
      bundle_.add_pipe(options, kStart);
      trackers_.emplace_back(static_cast<std::uint32_t>(i), 0u);
      trackers_.back().set_rtt(options.congestion.initial_rtt);
      counters_.push_back(0);
    }
    std::size_t best = 0;
    for (std::size_t i = 0; i < s.pipes.size(); ++i)
      if (bundle_.pipe(i).rtt() < bundle_.pipe(best).rtt()) best = i;
    for (const ids::Tier t : ids::kTiers) bundle_.set_preferred(t, best);
    best_ = best;
    for (const FlowSpec& f : s.flows) {
      TcpOptions tcp = f.tcp;
      tcp.segment_bytes = f.tunnelled ? kTunnelSegment : kRawSegment;
      flows_.push_back({f, TcpSender(tcp, kStart + f.start), TcpReceiver{}, tcp.segment_bytes, 0, 0});
    }
    changes_ = s.changes;
    next_urgent_ = s.urgent_every > Duration{} ? kStart : Time::max();
  }

  Result run() {
    const Time end = kStart + s_.length;
    Time warm = kStart + s_.warm_up, second = kStart + 1s;
    std::vector<std::uint64_t> wire(s_.pipes.size(), 0);
    while (true) {
      step();
      now_ = std::max(now_, next());
      if (now_ >= end) break;
      if (now_ >= warm) {
        warm = Time::max();
        for (Flow& f : flows_) f.at_warm_up = f.receiver.next();
        for (std::size_t i = 0; i < wire.size(); ++i) wire[i] = bundle_.pipe(i).counts().sent_bytes;
      }
      while (now_ >= second) {
        note_second();
        second += 1s;
      }
    }
    note_second();
    const double took = seconds(s_.length - s_.warm_up);
    std::uint64_t payload = 0;
    for (const Flow& f : flows_) {
      FlowResult r;
      r.delivered_bytes = f.receiver.next() * f.segment_bytes;
      r.goodput_bps = static_cast<double>((f.receiver.next() - f.at_warm_up) * f.segment_bytes) * 8 / took;
      r.resent = f.sender.resent();
      r.timeouts = f.sender.timeouts();
      if (f.spec.tunnelled) payload += r.delivered_bytes;
      result_.flows.push_back(r);
    }
    std::uint64_t sent = ack_bytes_;
    for (std::size_t i = 0; i < s_.pipes.size(); ++i) {
      const path::Pipe& p = bundle_.pipe(i);
      sent += p.counts().sent_bytes;
      result_.pipes.push_back({static_cast<double>(p.counts().sent_bytes - wire[i]) * 8 / took, p.counts(),
                               p.congestion().state(), p.bandwidth(), p.rtt(), p.least_rtt(), p.loss()});
    }
    for (std::size_t i = 0; i < s_.pipes.size(); ++i) result_.under_way += bundle_.pipe(i).tracked();
    result_.lost_waiting = bundle_.lost_waiting();
    result_.copies = bundle_.copies();
    result_.bundle = bundle_.counts();
    result_.forward_per_goodput =
        payload == 0 ? 0 : static_cast<double>(sent - ack_bytes_) / static_cast<double>(payload);
    result_.wire_per_goodput = payload == 0 ? 0 : static_cast<double>(sent) / static_cast<double>(payload);
    result_.rebuilt = decoder_.rebuilt();
    result_.late = resequencer_.counts().late;
    result_.given_up = resequencer_.counts().given_up;
    result_.mean_bundle_queue_ms = sojourns_ == 0 ? 0 : sojourn_ / static_cast<double>(sojourns_) * 1e3;
    return result_;
  }

 private:
  struct Flow {
    FlowSpec spec;
    TcpSender sender;
    TcpReceiver receiver;
    std::uint32_t segment_bytes = 0;
    std::uint64_t at_warm_up = 0;
    std::uint64_t newest = 0;
    std::uint64_t at_second = 0;
  };

  std::unique_ptr<linkem::Direction> link(const std::string& spec, std::size_t i) {
    const auto parsed = linkem::parse_spec(spec);
    if (!parsed) throw std::invalid_argument(parsed.error().describe(spec));
    return std::make_unique<linkem::Direction>(*parsed, s_.seed * 1000 + i, kStart, pool_);
  }

  void put(linkem::Direction& link, const Card& card, std::size_t bytes) {
    buffer_.resize(std::max(bytes, sizeof(Card)));
    std::memcpy(buffer_.data(), &card, sizeof card);
    link.push(buffer_, now_);
  }

  Time next() {
    Time t = Time::max();
    for (auto& l : forward_) t = std::min(t, l->next_timeout());
    for (auto& l : reverse_) t = std::min(t, l->next_timeout());
    for (Flow& f : flows_) {
      t = std::min(t, f.receiver.next_timeout());
      const Time start = kStart + f.spec.start;
      t = std::min(t, start > now_ ? start : f.sender.next_timeout());
    }
    for (auto& tracker : trackers_) t = std::min(t, tracker.next_timeout());
    t = std::min({t, bundle_.next_timeout(!queue_.empty()), resequencer_.next_timeout(),
                  decoder_.next_timeout(), next_urgent_});
    if (!changes_.empty()) t = std::min(t, kStart + changes_.front().at);
    return t;
  }

  void step() {
    while (!changes_.empty() && kStart + changes_.front().at <= now_) {
      forward_[changes_.front().link]->configure(*linkem::parse_spec(changes_.front().forward), now_);
      changes_.erase(changes_.begin());
    }
    for (std::size_t i = 0; i < forward_.size(); ++i) {
      while (auto p = forward_[i]->pop(now_)) arrive(card_of(*p));
      while (auto p = reverse_[i]->pop(now_)) back(card_of(*p));
    }
    if (resequencer_.next_timeout() <= now_) give(resequencer_.on_timer(now_));
    resequencer_.clear();
    decoder_.on_timer(now_);
    while (const auto report = decoder_.poll_report(now_)) tell(report->mended);
    for (std::size_t i = 0; i < trackers_.size(); ++i)
      if (trackers_[i].next_timeout() <= now_)
        if (const auto ack = trackers_[i].poll(now_)) {
          acks_.push_back(*ack);
          Card card;
          card.kind = Kind::PathAck;
          card.counter = first_ack_ + acks_.size() - 1;
          ack_bytes_ += ack->bytes() + 64 + 28;
          put(*reverse_[s_.pipes[best_]], card, ack->bytes() + 64 + 28);
        }
    for (std::size_t i = 0; i < flows_.size(); ++i) {
      Flow& f = flows_[i];
      if (f.receiver.on_timer(now_)) tcp_ack(i);
      if (now_ < kStart + f.spec.start) continue;
      if (f.sender.next_timeout() <= now_) f.sender.on_timer(now_);
      send(i);
    }
    if (bundle_.next_timeout(false) <= now_) bundle_.on_timer(now_);
    pump();
  }

  void send(std::size_t i) {
    Flow& f = flows_[i];
    while (const auto number = f.sender.poll(now_)) {
      if (f.spec.tunnelled) {
        if ((queue_.size() + 1) * 1400 > s_.queue_bytes) {
          ++result_.codel_drops;
          continue;
        }
        queue_.push_back({static_cast<std::uint8_t>(i), *number, now_});
      } else {
        Card card;
        card.kind = Kind::Segment;
        card.flow = static_cast<std::uint8_t>(i);
        card.number = *number;
        put(*forward_[f.spec.link], card, kRawSegment + kTcpHeaders);
      }
    }
  }

  static Card card_of(const linkem::Packet& packet) {
    Card card;
    std::memcpy(&card, packet.bytes().data(), sizeof card);
    return card;
  }

  // The tunnel's sender.
  void pump() {
    while (next_urgent_ <= now_) {
      Card card;
      card.kind = Kind::Urgent;
      card.sent_ns = (now_ - kStart).count();
      const auto pipe = bundle_.choose(ids::Tier::Critical, 200, 0, now_);
      seal(*pipe, card, 200, ids::Tier::Critical, queue_.size() * 1400, true);
      next_urgent_ += s_.urgent_every;
    }
    while (auto again = bundle_.next_lost(now_)) {
      Card card = card_in(again->plain);
      card.pipe = static_cast<std::uint8_t>(again->pipe);
      card.counter = counters_[again->pipe]++;
      bundle_.resent(*again, {card.pipe, 0}, card.counter, kDatagram, now_);
      put(*forward_[s_.pipes[again->pipe]], card, kDatagram);
    }
    repairs();
    while (!queue_.empty()) {
      const Queued q = queue_.front();
      const auto pipe = bundle_.choose(ids::Tier::Bulk, queue_.size() * 1400, 0, now_);
      if (!pipe) break;
      queue_.pop_front();
      if (codel_.on_dequeue(now_ - q.at, queue_.size() * 1400, false, now_) == qos::CoDel::Verdict::Drop) {
        ++result_.codel_drops;
        continue;
      }
      sojourn_ += seconds(now_ - q.at);
      ++sojourns_;
      Card card;
      card.kind = Kind::Tunnelled;
      card.flow = q.flow;
      card.number = q.number;
      card.sequence = sequence_++;
      seal(*pipe, card, kDatagram, ids::Tier::Bulk, queue_.size() * 1400, true);
      repairs();
    }
  }

  void repairs() {
    while (const auto repair = bundle_.next_repair(now_)) {
      Card card;
      card.kind = Kind::Repair;
      card.pipe = static_cast<std::uint8_t>(repair->pipe);
      card.counter = counters_[repair->pipe]++;
      card.number = first_repair_ + repairs_.size();
      repairs_.emplace_back(repair->body.begin(), repair->body.end());
      const std::size_t bytes = kDatagram + path::kRepairOverhead;
      bundle_.repair_sent(*repair, {card.pipe, 0}, card.counter, bytes, now_);
      put(*forward_[s_.pipes[card.pipe]], card, bytes);
      if (repairs_.size() > 16384) {
        repairs_.pop_front();
        ++first_repair_;
      }
    }
  }

  void seal(std::size_t pipe, Card& card, std::size_t bytes, ids::Tier tier, std::uint64_t backlog, bool) {
    card.pipe = static_cast<std::uint8_t>(pipe);
    card.counter = counters_[pipe]++;
    card.hold = bundle_.hold(tier);
    const Plain plain = plain_of(card);
    bundle_.sent(pipe, {card.pipe, 0}, card.counter, bytes, tier, 0, plain, backlog, now_);
    put(*forward_[s_.pipes[pipe]], card, bytes);
  }

  // At the far end.
  void arrive(const Card& card) {
    if (card.kind == Kind::Segment) return segment(card.flow, card.number);
    trackers_[card.pipe].on_received(card.counter, true, false, now_);
    if (card.kind == Kind::Urgent) {
      result_.urgent_ms.push_back(static_cast<double>((now_ - kStart).count() - card.sent_ns) / 1e6);
      result_.urgent_at_s.push_back(static_cast<double>(card.sent_ns) / 1e9);
      return;
    }
    if (card.kind == Kind::Repair) {
      if (card.number < first_repair_) return;
      if (const auto out = decoder_.on_repair(kStream, repairs_[card.number - first_repair_], now_))
        rebuilt(*out);
      return;
    }
    const Plain plain = plain_of(card);
    const auto inner = *packet::InnerHeader::parse(plain);
    const auto out =
        decoder_.on_packet(kStream, inner, std::span{plain}.subspan(packet::InnerHeader::kBytes), now_);
    accept(card);
    rebuilt(out);
  }

  void rebuilt(std::span<const path::Rebuilt> packets) {
    for (const path::Rebuilt& r : packets) {
      Card card;
      std::memcpy(&card, r.bytes.data(), sizeof card);
      accept(card);
    }
    decoder_.clear();
    while (const auto report = decoder_.poll_report(now_)) tell(report->mended);
  }
  void tell(const packet::Mended& mended) {
    Card card;
    card.kind = Kind::Mended;
    card.counter = first_report_ + reports_.size();
    reports_.push_back(mended);
    ack_bytes_ += kReportBytes;
    put(*reverse_[s_.pipes[best_]], card, kReportBytes);
  }

  void accept(const Card& card) {
    if (!eliminator_.first(kStream, card.sequence, kStart, now_)) {
      ++result_.duplicates;
      return;
    }
    path::Opened opened;
    opened.stream = kStream;
    opened.header.sequence = card.sequence;
    opened.header.hold = card.hold;
    opened.header.copied = true;
    opened.session = kStart;
    std::uint8_t bytes[sizeof(Card)];
    std::memcpy(bytes, &card, sizeof card);
    opened.bytes = bytes;
    if (const auto out = resequencer_.on_packet(opened, now_)) give(*out);
    resequencer_.clear();
  }

  void give(std::span<const path::Opened> packets) {
    for (const path::Opened& p : packets) {
      Card card;
      std::memcpy(&card, p.bytes.data(), sizeof card);
      segment(card.flow, card.number);
    }
  }

  void segment(std::size_t i, std::uint64_t number) {
    Flow& f = flows_[i];
    if (f.spec.tunnelled && number < f.newest) ++result_.out_of_order;
    f.newest = std::max(f.newest, number);
    if (f.receiver.on_segment(number, now_)) tcp_ack(i);
  }

  void tcp_ack(std::size_t i) {
    Flow& f = flows_[i];
    Card card;
    card.kind = Kind::TcpAck;
    card.flow = static_cast<std::uint8_t>(i);
    card.ack = f.receiver.ack();
    const std::size_t link = f.spec.tunnelled ? s_.pipes[best_] : f.spec.link;
    const std::size_t bytes = 64 + (f.spec.tunnelled ? kTunnelOverhead : 0);
    if (f.spec.tunnelled) ack_bytes_ += bytes;
    put(*reverse_[link], card, bytes);
  }

  void back(const Card& card) {
    if (card.kind == Kind::PathAck) {
      // The bytes travelled by number: nothing here may depend on their order.
      if (card.counter >= first_ack_) {
        bundle_.on_ack(acks_[card.counter - first_ack_], now_);
        while (acks_.size() > 4096) {
          acks_.pop_front();
          ++first_ack_;
        }
      }
      return;
    }
    if (card.kind == Kind::Mended) {
      if (card.counter >= first_report_)
        bundle_.on_mended(ids::Tier::Bulk, reports_[card.counter - first_report_]);
      while (reports_.size() > 4096) {
        reports_.pop_front();
        ++first_report_;
      }
      return;
    }
    flows_[card.flow].sender.on_ack(card.ack, now_);
    send(card.flow);
  }

  void note_second() {
    double tunnelled = 0, raw = 0;
    for (Flow& f : flows_) {
      const std::uint64_t n = f.receiver.next();
      (f.spec.tunnelled ? tunnelled : raw) += static_cast<double>((n - f.at_second) * f.segment_bytes) * 8;
      f.at_second = n;
    }
    result_.goodput_by_second.push_back(tunnelled);
    result_.raw_by_second.push_back(raw);
  }

  static constexpr std::size_t kDatagram = kTunnelSegment + kTcpHeaders + kTunnelOverhead;

  const Scenario& s_;
  Time now_ = kStart;
  std::shared_ptr<linkem::FramePool> pool_ = std::make_shared<linkem::FramePool>();
  std::vector<std::unique_ptr<linkem::Direction>> forward_, reverse_;
  path::Bundle bundle_;
  qos::CoDel codel_;
  path::Eliminator eliminator_;
  path::Resequencer resequencer_;
  path::FecDecoder decoder_;
  std::deque<std::vector<std::uint8_t>> repairs_;  // they travel by number, as acks do
  std::uint64_t first_repair_ = 0;
  std::deque<packet::Mended> reports_;
  std::uint64_t first_report_ = 0;
  std::vector<path::AckTracker> trackers_;
  std::vector<std::uint64_t> counters_;
  std::uint64_t sequence_ = 0;
  std::deque<Queued> queue_;
  std::deque<packet::Ack> acks_;
  std::uint64_t first_ack_ = 0;
  std::vector<Flow> flows_;
  std::vector<Change> changes_;
  Time next_urgent_ = Time::max();
  std::size_t best_ = 0;
  std::uint64_t ack_bytes_ = 0;
  double sojourn_ = 0;
  std::uint64_t sojourns_ = 0;
  std::vector<std::uint8_t> buffer_;
  Result result_;
};

}  // namespace

Result run(const Scenario& scenario) { return World(scenario).run(); }

}  // namespace qanat::grid
