#include "tools/sim/box.hh"

#include <algorithm>

#include "dataplane/agent/snapshot_compiler.hh"
#include "identifiers/proto/config_state.hh"
#include "tools/sim/trace.hh"

namespace qanat::sim {
namespace {

// Datagrams whose way through a relay is remembered: many more than can be under way at once.
constexpr std::size_t kForwardedSlots = 4096;

agent::AgentMachine::Settings settings_of(const BoxIdentity& identity, std::uint64_t seed) {
  agent::AgentMachine::Settings s;
  s.addresses = {"controller"};
  s.hello.set_software("qanat lab sim");
  s.hello.set_location(identity.location);
  for (const forwarder::LocalLine& line : identity.lines) {
    auto& out = *s.hello.add_lines();
    out.set_plane(line.plane.value);
    out.set_address(to_string(line.address.address));
    out.set_port(line.address.port);
  }
  s.compile = agent::compile_snapshot;
  s.seed = seed;
  return s;
}

}  // namespace

Box::Box(BoxIdentity identity, std::uint64_t seed, base::UnixSeconds unix_start, base::Time epoch_start)
    : identity_(std::move(identity)),
      unix_start_(unix_start),
      epoch_start_(epoch_start),
      random_(seed, Stream::Node, identity_.number) {}

void Box::start(Surroundings& around, base::Time now) {
  around_ = &around;
  forwarder::ForwarderOptions options;
  options.identity.keys = identity_.keys;
  options.identity.boot = ++boots_;
  options.random = [this](packet::MutableBytes out) { random_.fill(out); };
  options.lines = identity_.lines;
  options.coalesce.udp = false;
  forwarder_ = std::make_unique<forwarder::Forwarder>(std::move(options));
  set_clock(now);
  reporter_ = {};
  machine_ =
      std::make_unique<agent::AgentMachine>(settings_of(identity_, random_.next()), identity_.enrolment);
  if (sabotage_ == Sabotage::OldBackup && first_) kept_ = first_, kept_other_ = nullptr;
  if (kept_) {
    const auto stored = agent::parse_stored(agent::serialize_stored(*kept_, kept_other_.get()));
    if (stored) machine_->load(*stored, now);
  }
  machine_->start(now);
  run_actions(now);
}

void Box::crash() {
  forwarder_.reset();
  machine_.reset();
  open_ = false;
  ++connection_;
  inbox_.clear();
}

void Box::set_clock(base::Time now) {
  const auto s = std::chrono::duration_cast<std::chrono::seconds>(now - epoch_start_).count();
  forwarder_->set_unix_time(unix_start_ + static_cast<base::UnixSeconds>(s));
}

std::optional<base::Time> Box::next_timeout() const {
  if (!up()) return std::nullopt;
  base::Time next = forwarder_->next_timeout();
  if (const auto machine = machine_->next_timeout()) next = std::min(next, *machine);
  return next;
}

void Box::on_timer(base::Time now) {
  if (!up()) return;
  if (const auto due = machine_->next_timeout(); due && *due <= now) {
    machine_->on_timer(now);
    run_actions(now);
  }
  if (forwarder_->next_timeout() <= now) {
    set_clock(now);
    forwarder_->on_drained(now);
    forwarder_->on_timer(now);
    collect(now);
  }
}

void Box::on_datagram(packet::MutableBytes payload, const packet::UdpAddress& from, std::uint8_t plane,
                      std::uint8_t traffic_class, base::Time now) {
  if (!up() || sabotage_ == Sabotage::Deaf) return;
  if (sabotage_ == Sabotage::Gullible) ++taken_;
  const auto line = std::find_if(identity_.lines.begin(), identity_.lines.end(),
                                 [plane](const auto& l) { return l.plane.value == plane; });
  if (line == identity_.lines.end()) return;
  forwarder::Datagrams train;
  train.bytes = payload;
  train.segment_bytes = payload.size();
  train.remote = from;
  train.line = static_cast<std::uint8_t>(line - identity_.lines.begin());
  train.traffic_class = traffic_class;
  forwarder_->on_drained(now);
  const auto before = forwarder_->counters()[forwarder::Counter::TransitPackets];
  forwarder_->on_datagrams({&train, 1}, now);
  relaying_ = forwarder_->counters()[forwarder::Counter::TransitPackets] != before;
  if (relaying_ && sabotage_ == Sabotage::Weary) {
    forwarder_->transmitted();
    forwarder_->drops().count(packet::DropReason::HopLimit);
  }
  collect(now);
  relaying_ = false;
}

void Box::on_tenant_packet(std::uint32_t vni, packet::MutableBytes frame, base::Time now) {
  if (!up()) return;
  forwarder_->on_tun_packet(ids::Vni{vni}, frame, now);
  collect(now);
}

// Everything that the forwarder put out.
void Box::collect(base::Time now) {
  if (forwarder_->delivery_pending()) {
    for (const forwarder::TunWrite& write : forwarder_->deliver()) {
      scratch_.clear();
      for (const auto piece : write.packet.pieces)
        scratch_.insert(scratch_.end(), piece.begin(), piece.end());
      const std::uint32_t off = sabotage_ == Sabotage::WrongTap ? 1 : 0;
      around_->delivered(identity_.number, write.vni.value + off, scratch_);
    }
  }
  forwarder_->delivered();
  for (const forwarder::Datagrams& train : forwarder_->transmit()) {
    const forwarder::LocalLine& line = identity_.lines[train.line];
    for (std::size_t at = 0; at < train.bytes.size(); at += train.segment_bytes) {
      const auto datagram = train.bytes.subspan(at, std::min(train.segment_bytes, train.bytes.size() - at));
      const int times = relaying_ && sabotage_ == Sabotage::Echo ? 2 : 1;
      for (int i = 0; i < times; ++i) {
        if (relaying_) watch_transit(datagram, now);
        around_->transmit(identity_.number, line.plane.value, line.address, train.remote, datagram,
                          train.traffic_class);
      }
    }
  }
  forwarder_->transmitted();
  while (const auto event = forwarder_->poll_event()) around_->forwarder_event(identity_.number, *event);
}

// What is relayed is recognised by its end-to-end header and tag, which no relay changes: through one node it goes once.
void Box::watch_transit(packet::Bytes datagram, base::Time now) {
  if (forwarded_.empty()) forwarded_.resize(kForwardedSlots);
  const std::uint64_t digest = digest_of(datagram.last(std::min<std::size_t>(datagram.size(), 32)));
  std::uint64_t& slot = forwarded_[digest % kForwardedSlots];
  if (slot == digest)
    around_->violated({now, "loop", identity_.name + " relayed one datagram twice", {identity_.number}});
  slot = digest;
}

std::uint64_t Box::acceptances() const {
  using forwarder::Counter;
  const auto& c = forwarder_->counters();
  return c[Counter::InnerPacketsReceived] + c[Counter::ProbesReceived] + c[Counter::HandshakesAnswered] +
         c[Counter::SessionsEstablished] + c[Counter::TransitPackets] + taken_;
}

void Box::on_mail(Mail mail, base::Time now) {
  if (!up() || mail.connection != connection_) return;
  inbox_.push_back(std::move(mail));
  if (inbox_.size() == 1) drain(now);
}

void Box::drain(base::Time now) {
  while (up() && !inbox_.empty()) {
    if (!around_->reachable(identity_.number, identity_.controller))
      return around_->wake(identity_.number, now + kRetransmit);
    Mail mail = std::move(inbox_.front());
    inbox_.pop_front();
    switch (mail.kind) {
      case Mail::Kind::Open: break;
      case Mail::Kind::Accepted:
        open_ = true;
        machine_->on_connected(now);
        break;
      case Mail::Kind::Envelope: machine_->on_envelope(std::move(*mail.envelope), now); break;
      case Mail::Kind::Closed:
        open_ = false;
        machine_->on_lost(agent::Loss::ByPeer, "closed", now);
        break;
    }
    run_actions(now);
  }
}

void Box::run_actions(base::Time now) {
  for (auto actions = machine_->take_actions(); !actions.empty(); actions = machine_->take_actions())
    for (auto& action : actions) std::visit([this, now](auto& a) { run(a, now); }, action);
}

void Box::run(agent::Connect&, base::Time) {
  ++connection_;
  open_ = false;
  inbox_.clear();
  sent_until_ = {};
  around_->post({Mail::Kind::Open, identity_.number, identity_.controller, connection_, nullptr}, sent_until_,
                1);
}

void Box::run(agent::Disconnect&, base::Time) {
  if (open_)
    around_->post({Mail::Kind::Closed, identity_.number, identity_.controller, connection_, nullptr},
                  sent_until_, 1);
  open_ = false;
  ++connection_;
  inbox_.clear();
}

// Boxes are enrolled before the run begins.
void Box::run(agent::SendEnrolment&, base::Time) {}
void Box::run(agent::AdoptEnrolment&, base::Time) {}
void Box::run(agent::Note&, base::Time) {}

void Box::send(std::unique_ptr<proto::v1::Envelope> envelope) {
  around_->post(
      {Mail::Kind::Envelope, identity_.number, identity_.controller, connection_, std::move(envelope)},
      sent_until_, 1);
}

void Box::run(agent::Send& action, base::Time) {
  if (open_) send(std::make_unique<proto::v1::Envelope>(std::move(action.envelope)));
}

void Box::run(agent::Keep& action, base::Time) {
  kept_ = action.in_force;
  kept_other_ = action.other;
}

void Box::run(agent::Install& action, base::Time now) {
  const agent::ConfigVersion version = action.held->version();
  if (!first_) first_ = action.held;
  set_clock(now);
  forwarder_->set_snapshot(action.held->snapshot, now);
  collect(now);
  if (!action.rolled_back) around_->installed(identity_.number, version.epoch, version.version);
}

void Box::run(agent::CollectTelemetry& action, base::Time now) {
  if (!open_) return;
  auto envelope = std::make_unique<proto::v1::Envelope>();
  auto& telemetry = *envelope->mutable_telemetry();
  if (action.anew) reporter_.begin();
  reporter_.append(forwarder_->status(now, true), forwarder_->drops(), forwarder_->counters(), now,
                   telemetry);
  telemetry.set_sequence(action.sequence);
  send(std::move(envelope));
}

}  // namespace qanat::sim
