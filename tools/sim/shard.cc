#include "tools/sim/shard.hh"

#include <algorithm>

#include "identifiers/proto/framing.hh"

namespace qanat::sim {
namespace {

constexpr std::size_t kOuterIpBytes = 20, kHeaderBytes = 28;

std::uint32_t v4_of(const packet::IpAddress& address) {
  return static_cast<std::uint32_t>(address.high >> 32);
}

// IPv4 and UDP around a datagram: what a link carries and counts.
void write_headers(std::uint8_t* ip, const packet::UdpAddress& from, const packet::UdpAddress& to,
                   std::size_t total, std::uint8_t traffic_class) {
  std::fill(ip, ip + kHeaderBytes, std::uint8_t{0});
  ip[0] = 0x45;
  ip[1] = traffic_class;
  ip[2] = static_cast<std::uint8_t>(total >> 8);
  ip[3] = static_cast<std::uint8_t>(total);
  ip[6] = 0x40;  // do not fragment
  ip[8] = 64;
  ip[9] = 17;
  from.address.to_bytes(ip + 12);
  to.address.to_bytes(ip + 16);
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < kOuterIpBytes; i += 2) sum += std::uint32_t{ip[i]} << 8 | ip[i + 1];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  ip[10] = static_cast<std::uint8_t>(~sum >> 8);
  ip[11] = static_cast<std::uint8_t>(~sum);
  const std::size_t udp = total - kOuterIpBytes;
  ip[20] = static_cast<std::uint8_t>(from.port >> 8);
  ip[21] = static_cast<std::uint8_t>(from.port);
  ip[22] = static_cast<std::uint8_t>(to.port >> 8);
  ip[23] = static_cast<std::uint8_t>(to.port);
  ip[24] = static_cast<std::uint8_t>(udp >> 8);
  ip[25] = static_cast<std::uint8_t>(udp);
}

// While it lives, key agreements of this thread are looked up in a shard's memo first.
class Remembering {
 public:
  explicit Remembering(crypto::AgreementMemo& memo) { crypto::AgreementMemo::use(&memo); }
  ~Remembering() { crypto::AgreementMemo::use(nullptr); }
  Remembering(const Remembering&) = delete;
  Remembering& operator=(const Remembering&) = delete;
};

}  // namespace

Wire* World::wire(std::uint32_t from, std::uint32_t to, std::uint8_t plane) {
  const auto at = wire_index.find(key(from, to, plane));
  return at == wire_index.end() ? nullptr : &wires[at->second];
}
const Wire* World::wire(std::uint32_t from, std::uint32_t to, std::uint8_t plane) const {
  const auto at = wire_index.find(key(from, to, plane));
  return at == wire_index.end() ? nullptr : &wires[at->second];
}

std::optional<base::Duration> World::stream_delay(std::uint32_t from, std::uint32_t to) const {
  if (from == to) return base::Duration{std::chrono::microseconds(100)};
  std::optional<base::Duration> best;
  for (std::uint8_t plane = 1; plane <= ids::PlaneId::kMax; ++plane)
    if (const Wire* wire = this->wire(from, to, plane))
      if (!best || wire->spec().delay < *best) best = wire->spec().delay;
  return best;
}

bool World::stream_up(std::uint32_t from, std::uint32_t to) const {
  if (from == to) return true;
  for (std::uint8_t plane = 1; plane <= ids::PlaneId::kMax; ++plane) {
    const Wire* there = wire(from, to, plane);
    const Wire* back = wire(to, from, plane);
    if (there != nullptr && back != nullptr && !there->spec().down && !back->spec().down) return true;
  }
  return false;
}

Shard::Shard(World& world, std::uint32_t number)
    : world_(world),
      number_(number),
      trace_(world.start),
      newest_(world.boxes.size()),
      strays_(world.seed, Stream::Strays, number),
      now_(world.start) {}

void Shard::start() {
  const Remembering remembering(agreements_);
  for (std::uint32_t i = 0; i < world_.controllers.size(); ++i) {
    const auto entity = static_cast<Entity>(world_.boxes.size() + i);
    if (!mine(entity)) continue;
    world_.controllers[i]->start(*this, world_.start);
    // Ticks of different controllers do not fall together.
    queue_.push(world_.start + std::chrono::microseconds(137) * (i + 1), EventKind::ControllerTick, entity);
  }
  for (std::uint32_t i = 0; i < world_.boxes.size(); ++i) {
    if (world_.boxes[i] == nullptr || !mine(i)) continue;
    own_boxes_.push_back(i);
    // Boxes come up over the first seconds, in an order of the seed.
    Random random(world_.seed, Stream::Start, i);
    const auto spread =
        std::chrono::microseconds(std::min<std::uint64_t>(2'000'000, 100'000 * world_.boxes.size()));
    queue_.push(world_.start + std::chrono::milliseconds(1) +
                    base::Duration(random.below(static_cast<std::uint64_t>(base::Duration(spread).count()))),
                EventKind::Wake, i, 1);
  }
  for (std::uint32_t i = 0; i < world_.legs.size(); ++i)
    if (mine(world_.legs[i].from)) queue_.push(world_.legs[i].begin, EventKind::FlowTick, i);
}

void Shard::run(base::Time until) {
  const Remembering remembering(agreements_);
  while (queue_.next() < until) {
    const Event event = queue_.pop();
    now_ = event.at;
    ++tally_.events;
    dispatch(event);
    if (!violations_.empty()) return;
  }
  now_ = until;
}

void Shard::dispatch(const Event& event) {
  switch (event.kind) {
    case EventKind::BoxTimer: {
      Box& box = *world_.boxes[event.target];
      if (box.armed != event.at) return;
      box.armed = base::Time::max();
      box.on_timer(now_);
      return arm(event.target, now_);
    }
    case EventKind::WireDue:
      if (world_.wires[event.target].armed != event.at) return;
      world_.wires[event.target].armed = base::Time::max();
      wire_due(event.target);
      return arm_wire(event.target);
    case EventKind::Arrival: return arrive(parcels_.take(event.payload));
    case EventKind::Message: return deliver_mail(mails_.take(event.payload));
    case EventKind::FlowTick: return send_flow_packet(event.target);
    case EventKind::ControllerTick:
      world_.controllers[event.target - world_.boxes.size()]->on_tick(now_);
      return queue_.push(now_ + Controller::kTick, EventKind::ControllerTick, event.target);
    case EventKind::Wake:
      if (event.target >= world_.boxes.size())
        return world_.controllers[event.target - world_.boxes.size()]->on_wake(now_);
      if (event.payload == 1) return start_box(event.target, now_);
      world_.boxes[event.target]->on_wake(now_);
      return arm(event.target, now_);
  }
}

void Shard::start_box(std::uint32_t box, base::Time now) {
  now_ = now;
  if (world_.boxes[box]->up()) return;
  world_.boxes[box]->start(*this, now);
  arm(box, now);
}

void Shard::arm(std::uint32_t index, base::Time now) {
  Box& box = *world_.boxes[index];
  const auto due = box.next_timeout();
  if (!due) return;
  const base::Time at = std::max(*due, now);
  if (at >= box.armed || at == base::Time::max()) return;  // an earlier look will find out
  box.armed = at;
  queue_.push(at, EventKind::BoxTimer, index);
}

void Shard::arm_wire(std::uint32_t index) {
  Wire& wire = world_.wires[index];
  const base::Time due = wire.next_timeout();
  if (due >= wire.armed || due == base::Time::max()) return;
  wire.armed = std::max(due, now_);
  queue_.push(wire.armed, EventKind::WireDue, index);
}

void Shard::transmit(std::uint32_t box, std::uint8_t plane, const packet::UdpAddress& from,
                     const packet::UdpAddress& to, packet::Bytes payload, std::uint8_t traffic_class) {
  const auto target = world_.node_by_address.find(std::uint64_t{v4_of(to.address)});
  const auto index = target == world_.node_by_address.end()
                         ? world_.wire_index.end()
                         : world_.wire_index.find(World::key(box, target->second, plane));
  if (index == world_.wire_index.end()) {
    ++tally_.nowhere;
    return;
  }
  auto& packet = leaving_;
  packet.resize(kHeaderBytes + payload.size());
  write_headers(packet.data(), from, to, packet.size(), traffic_class);
  std::copy(payload.begin(), payload.end(), packet.begin() + kHeaderBytes);
  const auto digest = static_cast<std::uint32_t>(digest_of(payload));
  trace_.add(Record::Sent, now_, {box + 1, target->second + 1, plane, payload.size()}, digest);
  ++tally_.datagrams;
  tally_.bytes += packet.size();
  Wire& wire = world_.wires[index->second];
  if (wire.spec().down)
    exchanges_.add({Exchange::Kind::Lost, payload[0], plane, static_cast<std::uint16_t>(payload.size()), box,
                    target->second, digest, now_});
  wire.push(packet, Random(world_.seed, Stream::Wire, index->second).next(), frames_, now_);
  arm_wire(index->second);
}

void Shard::wire_due(std::uint32_t index) {
  Wire& wire = world_.wires[index];
  while (auto packet = wire.pop(now_)) {
    Parcel parcel{index, {}};
    if (!spare_.empty()) {
      parcel.packet = std::move(spare_.back());
      spare_.pop_back();
    }
    const auto bytes = packet->bytes();
    parcel.packet.assign(bytes.begin(), bytes.end());
    const std::uint32_t shard = world_.shard_of[wire.to()];
    if (shard == number_) {
      arrive(std::move(parcel));
    } else {
      outgoing_.push_back({now_ + world_.ahead, shard, EventKind::Arrival, std::move(parcel), {}});
    }
  }
}

void Shard::arrive(Parcel parcel) {
  const Wire& wire = world_.wires[parcel.wire];
  auto& bytes = parcel.packet;
  if (bytes.size() <= kHeaderBytes) return;
  const packet::UdpAddress from{packet::IpAddress::from_bytes(packet::IpFamily::V4, bytes.data() + 12),
                                static_cast<std::uint16_t>(bytes[20] << 8 | bytes[21])};
  const packet::MutableBytes payload = std::span(bytes).subspan(kHeaderBytes);
  const auto digest = static_cast<std::uint32_t>(digest_of(payload));
  trace_.add(Record::Arrived, now_, {wire.from() + 1, wire.to() + 1}, digest);
  ++tally_.arrived;
  exchanges_.add({Exchange::Kind::Arrived, payload[0], wire.plane(),
                  static_cast<std::uint16_t>(payload.size()), wire.from(), wire.to(), digest, now_});
  Box* box = world_.boxes[wire.to()].get();
  if (box == nullptr) return;
  if (world_.stray_every != 0 && tally_.arrived % world_.stray_every == 0) stray(parcel, from);
  box->on_datagram(payload, from, wire.plane(), bytes[1], now_);
  arm(wire.to(), now_);
  if (spare_.size() < 4096) spare_.push_back(std::move(bytes));
}

// The datagram is shown to a box that it is not for, as a misrouting network would: that box must have no use for it.
void Shard::stray(const Parcel& parcel, const packet::UdpAddress& from) {
  const std::uint32_t victim = own_boxes_[strays_.below(own_boxes_.size())];
  Box& box = *world_.boxes[victim];
  const Wire& wire = world_.wires[parcel.wire];
  if (victim == wire.to() || !box.up() || box.identity().lines.empty()) return;
  ++tally_.strays;
  stray_copy_.assign(parcel.packet.begin() + kHeaderBytes, parcel.packet.end());
  const std::uint64_t before = box.acceptances();
  box.on_datagram(stray_copy_, from, box.identity().lines.front().plane.value, 0, now_);
  if (box.acceptances() != before)
    violated({now_,
              "wrong_party",
              world_.names[victim] + " accepted a datagram from " + world_.names[wire.from()] + " to " +
                  world_.names[wire.to()],
              {wire.from(), wire.to(), victim}});
  arm(victim, now_);
}

void Shard::post(Mail mail, base::Time& earliest, int trips) {
  const auto delay = world_.stream_delay(world_.place[mail.from], world_.place[mail.to]);
  if (!delay) return;  // no way there: the other side never hears of it
  const std::uint32_t shard = world_.shard_of[mail.to];
  const base::Duration least = shard == number_ ? base::Duration{} : world_.ahead;
  earliest = std::max(earliest, now_ + std::max<base::Duration>(*delay * trips, least));
  if (shard != number_) {
    outgoing_.push_back({earliest, shard, EventKind::Message, {}, std::move(mail)});
  } else {
    queue_.push(earliest, EventKind::Message, 0, mails_.put(std::move(mail)));
  }
}

bool Shard::reachable(Entity a, Entity b) const { return world_.stream_up(world_.place[a], world_.place[b]); }

void Shard::wake(Entity entity, base::Time at) { queue_.push(at, EventKind::Wake, entity); }

void Shard::deliver_mail(Mail mail) {
  const auto body = mail.envelope ? static_cast<std::uint64_t>(mail.envelope->body_case()) : 0;
  std::uint64_t size = 0, digest = static_cast<std::uint64_t>(mail.kind);
  if (mail.envelope) {
    const std::string bytes = mail.envelope->SerializeAsString();
    size = bytes.size();
    digest = digest_of({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  }
  trace_.add(Record::Message, now_, {mail.from + 1, mail.to + 1, body, size},
             static_cast<std::uint32_t>(digest));
  ++tally_.messages;
  if (body == proto::v1::Envelope::kTelemetry || body == proto::v1::Envelope::kDomainReport) {
    ++world_.reported[mail.from].messages;
    world_.reported[mail.from].bytes += size + proto::kFrameHeaderBytes;
  }
  if (body != proto::v1::Envelope::kPing && body != proto::v1::Envelope::kPong)
    exchanges_.add({Exchange::Kind::Control, static_cast<std::uint8_t>(body), 0,
                    static_cast<std::uint16_t>(std::min<std::uint64_t>(size, 0xffff)),
                    world_.place[mail.from], world_.place[mail.to], static_cast<std::uint32_t>(digest),
                    now_});
  const Entity to = mail.to;
  if (to >= world_.boxes.size())
    return world_.controllers[to - world_.boxes.size()]->on_mail(std::move(mail), now_);
  world_.boxes[to]->on_mail(std::move(mail), now_);
  arm(to, now_);
}

void Shard::send_flow_packet(std::uint32_t index) {
  Leg& leg = world_.legs[index];
  if (now_ >= leg.end) return;
  queue_.push(now_ + world_.packet_interval, EventKind::FlowTick, index);
  Box& box = *world_.boxes[leg.from];
  if (!box.up()) return;
  const FlowPacket says{index, leg.sent++, leg.vni, leg.from, leg.to};
  leg.last_sent = now_;
  ++tally_.packets_sent;
  auto frame =
      make_packet(says, leg.tier, world_.overlay[leg.from], world_.overlay[leg.to], world_.packet_bytes);
  box.on_tenant_packet(leg.vni, frame, now_);
  arm(leg.from, now_);
}

void Shard::installed(std::uint32_t box, std::uint64_t epoch, std::uint64_t version) {
  trace_.add(Record::Installed, now_, {box + 1, epoch, version});
  ++tally_.configurations;
  Held& newest = newest_[box];
  if (std::pair(epoch, version) < std::pair(newest.epoch, newest.version))
    violated({now_,
              "version",
              world_.names[box] + " went from epoch " + std::to_string(newest.epoch) + " version " +
                  std::to_string(newest.version) + " back to epoch " + std::to_string(epoch) + " version " +
                  std::to_string(version),
              {box}});
  newest = {epoch, version};
}

void Shard::delivered(std::uint32_t box, std::uint32_t vni, packet::Bytes packet) {
  const auto says = read_packet(packet);
  if (!says || says->leg >= world_.legs.size()) return;
  trace_.add(Record::Delivered, now_, {box + 1, vni, says->leg, says->number});
  ++tally_.packets_delivered;
  exchanges_.add(
      {Exchange::Kind::Delivered, 0, 0, static_cast<std::uint16_t>(vni), box, box, says->number, now_});
  if (says->vni != vni || says->to != box)
    return violated({now_,
                     "cross_tenant",
                     "packet " + std::to_string(says->number) + " of " + world_.names[says->from] + " to " +
                         world_.names[says->to] + " in vni " + std::to_string(says->vni) + " came out at " +
                         world_.names[box] + " in vni " + std::to_string(vni),
                     {says->from, says->to, box}});
  Leg& leg = world_.legs[says->leg];
  ++leg.received;
  leg.last_received = now_;
}

void Shard::forwarder_event(std::uint32_t box, const forwarder::Event& event) {
  trace_.add(Record::Event, now_,
             {box + 1, static_cast<std::uint64_t>(event.kind), event.peer.value, event.path.value});
  if (event.kind == forwarder::Event::Kind::PathSwitched) ++tally_.path_switches;
}

void Shard::violated(Violation violation) { violations_.push_back(std::move(violation)); }

void Shard::note_fault(std::uint32_t number, std::uint32_t kind, std::uint32_t a, std::uint32_t b, bool on,
                       base::Time now) {
  trace_.add(Record::Fault, now, {number, kind, a + 1, b + 1, on ? 1u : 0u});
  exchanges_.add({Exchange::Kind::Fault, on ? std::uint8_t{1} : std::uint8_t{0}, 0, 0, a, b, number, now});
}

void Shard::hand_over(std::vector<std::unique_ptr<Shard>>& shards) {
  for (Outgoing& out : outgoing_) {
    Shard& to = *shards[out.shard];
    if (out.kind == EventKind::Arrival) {
      to.queue_.push(out.at, out.kind, 0, to.parcels_.put(std::move(out.parcel)));
    } else {
      to.queue_.push(out.at, out.kind, 0, to.mails_.put(std::move(out.mail)));
    }
  }
  outgoing_.clear();
}

}  // namespace qanat::sim
