#include "tools/sim/controller.hh"

#include <stdexcept>

#include "controller/session/x509.hh"

namespace qanat::sim {
namespace {

proto::Ed25519Private seed_of(Random& random) {
  proto::Ed25519Private seed{};
  random.fill(seed);
  return seed;
}

std::string text_of(std::span<const std::uint8_t> bytes) { return {bytes.begin(), bytes.end()}; }

std::string request_for(const std::string& name) {
  return session::make_request(session::make_private_key(), name);
}

std::string token_of(session::Level& level, const std::string& name, bool relay, session::Now now) {
  auto minted = level.mint_join_token(name, relay, 3600, now);
  if (const auto* problems = std::get_if<std::vector<std::string>>(&minted))
    throw std::invalid_argument("join token for " + name + ": " + problems->front());
  return std::get<std::string>(minted);
}

}  // namespace

// Keys that would be drawn at the first start are put into the store by the seed.
Controller::Controller(ControllerIdentity identity, std::uint64_t seed, base::UnixSeconds unix_start,
                       base::Time start)
    : identity_(std::move(identity)),
      unix_start_(unix_start),
      epoch_start_(start),
      random_(seed, Stream::Controller, identity_.entity),
      store_(":memory:") {
  for (const char* key : {"ca_key", "config_key", "network_psk"})
    store_.set_value(key, text_of(seed_of(random_)));
  authority_ = std::make_unique<session::Authority>(store_, identity_.name, unix_start);
  make_level(start);
}

Controller::~Controller() = default;

session::Now Controller::at(base::Time now) const {
  return {now,
          unix_start_ + static_cast<base::UnixSeconds>(
                            std::chrono::duration_cast<std::chrono::seconds>(now - epoch_start_).count())};
}

void Controller::make_level(base::Time now) {
  const session::RandomSource random = [this](std::span<std::uint8_t> out) { random_.fill(out); };
  if (identity_.global) {
    level_ = std::make_unique<global::Global>(identity_.name, store_, *authority_, *this, at(now), random);
    return;
  }
  domain::DomainConfig config{
      .name = identity_.name, .domain = identity_.domain, .probe_plan = identity_.probe_plan};
  if (identity_.mesh_probes_per_s != 0) config.mesh_probes_per_s = identity_.mesh_probes_per_s;
  if (identity_.relay_probes_per_s) config.relay_probes_per_s = *identity_.relay_probes_per_s;
  config.random = random;
  auto made = std::make_unique<domain::Domain>(std::move(config), store_, *authority_, *this, at(now));
  domain_ = made.get();
  level_ = std::move(made);
  if (parent_ != 0) domain_->on_parent(false);
}

agent::Enrolment Controller::enrol_box(const std::string& name, const crypto::PublicKey& key, bool relay,
                                       const proto::v1::Hello& hello) {
  proto::v1::EnrolRequest request;
  request.set_join_token(token_of(*level_, name, relay, at(epoch_start_)));
  request.set_name(name);
  request.set_csr_der(request_for(name));
  request.set_x25519_public(text_of(key.bytes));
  request.set_relay(relay);
  *request.mutable_lines() = hello.lines();
  request.set_location(hello.location());
  const auto reply = level_->enrol(request, at(epoch_start_));
  if (!reply.has_enrolled()) throw std::invalid_argument("enrol " + name + ": " + reply.refusal().message());
  const auto& enrolled = reply.enrolled();
  leaves_[enrolled.node_id()] = *base::certificate_fingerprint(enrolled.certificate_pem());
  agent::Enrolment out{enrolled.node_id(),
                       enrolled.domain_id(),
                       {authority_->config_public()},
                       {authority_->ca_public()},
                       authority_->serial()};
  return out;
}

void Controller::enrol_domain(Controller& domain) {
  proto::v1::EnrolRequest request;
  request.set_join_token(token_of(*level_, domain.identity_.name, false, at(epoch_start_)));
  request.set_name(domain.identity_.name);
  request.set_csr_der(request_for(domain.identity_.name));
  request.set_domain_id(domain.identity_.domain);
  const auto ca = domain.authority_->ca_public();
  request.set_ca_public(ca.data(), ca.size());
  const auto reply = level_->enrol(request, at(epoch_start_));
  if (!reply.has_enrolled())
    throw std::invalid_argument("enrol domain " + domain.identity_.name + ": " + reply.refusal().message());
  leaves_[domain.identity_.domain] = *base::certificate_fingerprint(reply.enrolled().certificate_pem());
  name_member(domain.identity_.domain, domain.identity_.entity);
  domain.set_parent(identity_.entity);
}

void Controller::put_tenant(const session::TenantView& tenant) {
  const auto problems = level_->put_tenant(tenant, at(epoch_start_));
  if (!problems.empty()) throw std::invalid_argument("tenant " + tenant.name + ": " + problems.front());
}

void Controller::start(Surroundings& around, base::Time now) {
  around_ = &around;
  now_ = now;
  if (domain_ != nullptr && parent_ != 0) domain_->on_parent(false);
  uplink_.due = now;
}

void Controller::stop() {
  level_.reset();
  domain_ = nullptr;
  sessions_.clear();
  const std::uint32_t connection = uplink_.connection;
  uplink_ = {};
  uplink_.connection = connection;
}

void Controller::resume(base::Time now) {
  now_ = now;
  make_level(now);
  uplink_.due = now;
}

void Controller::on_tick(base::Time now) {
  if (!up()) return;
  now_ = now;
  for (auto at = sessions_.begin(); at != sessions_.end();) {
    const Entity peer = at->first;
    const bool silent = now - at->second.heard >= kSilence;
    ++at;
    if (silent) end(peer, now);
  }
  level_->on_timer(this->at(now));
  if (parent_ != 0) run_uplink(now);
}

void Controller::post(Entity to, std::uint32_t connection, base::Time& earliest,
                      const proto::v1::Envelope& envelope) {
  around_->post({Mail::Kind::Envelope, identity_.entity, to, connection,
                 std::make_unique<proto::v1::Envelope>(envelope)},
                earliest, 1);
}

void Controller::send(session::MemberId member, const proto::v1::Envelope& envelope) {
  const auto entity = entities_.find(member);
  if (entity == entities_.end() || around_ == nullptr) return;
  const auto session = sessions_.find(entity->second);
  if (session == sessions_.end() || session->second.member != member) return;
  post(entity->second, session->second.connection, session->second.sent_until, envelope);
}

void Controller::close(session::MemberId member, std::string_view code, std::string_view message,
                       bool retryable) {
  const auto entity = entities_.find(member);
  if (entity == entities_.end()) return;
  const auto session = sessions_.find(entity->second);
  if (session == sessions_.end() || session->second.member != member) return;
  proto::v1::Envelope envelope;
  envelope.mutable_refusal()->set_code(std::string(code));
  envelope.mutable_refusal()->set_message(std::string(message));
  envelope.mutable_refusal()->set_retryable(retryable);
  post(entity->second, session->second.connection, session->second.sent_until, envelope);
  end(entity->second, now_);
}

void Controller::end(Entity peer, base::Time now) {
  const auto session = sessions_.find(peer);
  if (session == sessions_.end()) return;
  around_->post({Mail::Kind::Closed, identity_.entity, peer, session->second.connection, nullptr},
                session->second.sent_until, 1);
  const session::MemberId member = session->second.member;
  sessions_.erase(session);
  if (member != 0) level_->on_closed(member, at(now));
}

void Controller::on_mail(Mail mail, base::Time now) {
  if (!up()) return;
  now_ = now;
  if (parent_ != 0 && mail.from == parent_) {
    if (mail.connection != uplink_.connection) return;
    uplink_.inbox.push_back(std::move(mail));
    if (uplink_.inbox.size() == 1) drain_uplink(now);
    return;
  }
  const Entity peer = mail.from;
  if (mail.kind == Mail::Kind::Open) {  // the newest connection counts
    const auto old = sessions_.find(peer);
    if (old != sessions_.end() && old->second.member != 0) level_->on_closed(old->second.member, at(now));
    Session& fresh = sessions_[peer];
    fresh = {};
    fresh.connection = mail.connection;
    fresh.heard = now;
    around_->post({Mail::Kind::Accepted, identity_.entity, peer, mail.connection, nullptr}, fresh.sent_until,
                  kAcceptTrips);
    return;
  }
  const auto session = sessions_.find(peer);
  if (session == sessions_.end() || session->second.connection != mail.connection) return;
  session->second.inbox.push_back(std::move(mail));
  if (session->second.inbox.size() == 1) drain(peer, now);
}

void Controller::on_wake(base::Time now) {
  if (!up()) return;
  now_ = now;
  std::vector<Entity> waiting;
  for (const auto& [peer, session] : sessions_)
    if (!session.inbox.empty()) waiting.push_back(peer);
  for (const Entity peer : waiting) drain(peer, now);
  drain_uplink(now);
}

void Controller::drain(Entity peer, base::Time now) {
  for (;;) {
    const auto at = sessions_.find(peer);
    if (at == sessions_.end() || at->second.inbox.empty()) return;
    if (!around_->reachable(peer, identity_.entity))
      return around_->wake(identity_.entity, now + kRetransmit);
    Mail mail = std::move(at->second.inbox.front());
    at->second.inbox.pop_front();
    handle(peer, at->second, std::move(mail), now);
  }
}

void Controller::handle(Entity from, Session& session, Mail mail, base::Time now) {
  session.heard = now;
  if (mail.kind == Mail::Kind::Closed) {
    const session::MemberId member = session.member;
    sessions_.erase(from);
    if (member != 0) level_->on_closed(member, at(now));
    return;
  }
  if (mail.kind != Mail::Kind::Envelope) return;
  const auto& envelope = *mail.envelope;
  if (session.member == 0) {
    session::MemberId member = 0;
    for (const auto& [id, entity] : entities_)
      if (entity == from) member = id;
    if (!envelope.has_hello() || member == 0) return end(from, now);
    if (const auto refusal = level_->admit(member, {leaves_[member]}, envelope.hello())) {
      proto::v1::Envelope out;
      *out.mutable_refusal() = *refusal;
      post(from, session.connection, session.sent_until, out);
      return end(from, now);
    }
    session.member = member;
    return level_->on_open(member, envelope.hello(), at(now));
  }
  if (envelope.has_ping()) {
    proto::v1::Envelope pong;
    pong.set_pong(envelope.ping());
    return post(from, session.connection, session.sent_until, pong);
  }
  if (envelope.has_pong()) return;
  if (!level_->on_envelope(session.member, envelope, at(now))) end(from, now);
}

}  // namespace qanat::sim
